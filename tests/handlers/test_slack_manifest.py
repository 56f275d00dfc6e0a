"""The manifest asks for exactly what the code uses: scopes, events, commands and shortcuts."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from running_bot import RunningBot

from bot.cli.manifest import create_app_url, manifest_json
from bot.sandbox.manifest import EVENT_SCOPES
from bot.sandbox.methods import METHODS
from config.settings import ROOT

# What the SDK calls for one of its own methods.
INSIDE = {
    "files_upload_v2": ("files.getUploadURLExternal", "files.completeUploadExternal"),
    "chat_stream": ("chat.startStream", "chat.appendStream", "chat.stopStream"),
}
# Asked for every kind of conversation at once, for which Slack wants every kind's scope.
EVERY_KIND = ("users.conversations",)
# Opened with one person only: the scope for several is not needed.
ONE_PERSON = {"conversations.open": ("im:write",)}
# A listener for `message` gets each kind of conversation by an event of its own.
KINDS = {"message": ("message.channels", "message.groups", "message.im", "message.mpim")}
PANE = ("assistant_thread_started", "assistant_thread_context_changed")


def manifest() -> dict[str, Any]:
    """The manifest that ships."""
    found: dict[str, Any] = json.loads(manifest_json())
    return found


def handlers() -> Iterator[ast.AST]:
    """Every node of the handlers' code, in all their rooms."""
    for file in sorted((ROOT / "handlers").rglob("*.py")):
        yield from ast.walk(ast.parse(file.read_text(encoding="utf-8")))


def called_methods() -> set[str]:
    """The Web API methods the handlers call."""
    found: set[str] = set()
    for node in handlers():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner, name = ast.unparse(node.func.value), node.func.attr
            if owner.endswith("client") and name in INSIDE:
                found |= set(INSIDE[name])
            elif owner.endswith("client") and name.replace("_", ".", name.count("_")) in METHODS:
                found.add(name.replace("_", "."))
        elif isinstance(node, ast.Name) and node.id == "set_suggested_prompts":
            found.add("assistant.threads.setSuggestedPrompts")
        elif isinstance(node, ast.Name) and node.id == "set_title":
            found.add("assistant.threads.setTitle")
    return found


def registered(kind: str) -> set[str]:
    """What listeners are registered for with `@app.<kind>("…")`."""
    return {
        node.args[0].value
        for node in handlers()
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == kind
        if node.args and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)
    }


def events() -> set[str]:
    """The events the handlers need."""
    needed = {name for event in registered("event") for name in KINDS.get(event, (event,))}
    return needed | set(PANE)


def test_every_event_is_subscribed_to_and_no_other() -> None:
    assert set(manifest()["settings"]["event_subscriptions"]["bot_events"]) == events()


def test_the_scopes_are_the_least() -> None:
    methods = called_methods()
    assert {"chat.postMessage", "conversations.replies", "views.publish", "auth.test"} <= methods
    scopes = set(manifest()["oauth_config"]["scopes"]["bot"])
    needed = {EVENT_SCOPES[event] for event in events() if event in EVENT_SCOPES} | {"commands"}
    for method in methods:
        # Where alternatives would do, one of those that are needed anyway must be among them.
        alternatives = ONE_PERSON.get(method, METHODS[method].scopes)
        if len(alternatives) == 1 or method in EVERY_KIND:
            needed |= set(alternatives)
    assert scopes == needed
    assert all(scopes & set(METHODS[method].scopes) for method in methods if METHODS[method].scopes)


def test_commands_and_shortcuts_are_those_registered() -> None:
    features = manifest()["features"]
    assert {entry["command"] for entry in features["slash_commands"]} == registered("command")
    assert {entry["callback_id"] for entry in features["shortcuts"]} == registered("message_shortcut")
    assert all(entry["should_escape"] for entry in features["slash_commands"])
    assert manifest()["settings"]["socket_mode_enabled"] is True


def test_slacks_limits_on_manifests() -> None:
    found = manifest()
    assert len(found["display_information"]["name"]) <= 35
    assert len(found["display_information"]["description"]) <= 140
    assert len(found["features"]["bot_user"]["display_name"]) <= 80
    assert len(found["features"]["assistant_view"]["assistant_description"]) <= 300
    assert all(len(entry["name"]) <= 24 for entry in found["features"]["shortcuts"])
    assert all(len(entry["description"]) <= 150 for entry in found["features"]["shortcuts"])


def test_the_link_creates_the_app_from_this_manifest(tmp_path: Path) -> None:
    def printed(*more: str) -> str:
        command = [sys.executable, "-m", "bot", "manifest", *more]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    link = printed("--url").strip()
    assert link == create_app_url()
    parts = urlsplit(link)
    assert (parts.scheme, parts.netloc, parts.path) == ("https", "api.slack.com", "/apps")
    asked = parse_qs(parts.query)
    assert asked["new_app"] == ["1"]
    assert json.loads(asked["manifest_json"][0]) == manifest() == json.loads(printed())
    assert len(link) < 8_000  # the length that servers and browsers take


async def test_with_these_scopes_nothing_is_refused(bot: RunningBot) -> None:
    box = bot.sandbox
    assert set(box.context.app.scopes) == set(manifest()["oauth_config"]["scopes"]["bot"])
    ts = await box.post("Ada", "general", "@All-in-One Bot + hello")
    await bot.replies("general", ts)
    await box.shortcut("Ada", "thread_mood", "general", ts)
    await box.open_home("Ada")
    await box.open_assistant("Ada", "general")
    await box.command("Ada", "general", "/chat", "hello")
    await box.wait_for(lambda: box.home("Ada") and len(box.messages(box.dm("Ada"))) >= 1)
    await bot.idle()
    assert [call.method for call in box.calls if call.answer.get("error") == "missing_scope"] == []

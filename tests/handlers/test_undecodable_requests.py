"""Stored requests that cannot be read: their people get an apology, and nobody else waits for that."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from running_bot import RunningBot, Scripted, ephemerals_of, lose_events, run_bot, shown

from bot.inbox.payloads import KINDS, VERSION, Question, encode
from bot.roles import Role
from bot.sandbox import Sandbox
from bot.storage import Request, Storage

BOT = "@All-in-One Bot"
SORRY = "something went wrong on my side"


def stored_question(sandbox: Sandbox, ts: str, thread_ts: str, text: str) -> dict[str, Any]:
    """What is stored of Ada's message."""
    channel, user = sandbox.channels["general"], sandbox.users["Ada"]
    return encode(Question(sandbox.team_id, channel, ts, thread_ts, user, {"text": text}, "thread"))


# The kind, what is other than it should be in the payload, and where the apology stands.
BREAKING: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "a missing field": ("chat", {"surface": ...}, ["thread"]),
    "a wrong type": ("chat", {"message": "hello"}, ["thread"]),
    "a newer version": ("emotion", {"version": VERSION + 1}, ["thread"]),
    "an unknown kind": ("sing", {}, ["private"]),
    "perhaps for others": ("maybe", {"surface": 1}, ["private"]),
    "no channel": ("chat", {"channel": 5}, ["private"]),
    "a user that nobody is": ("chat", {"user": "nobody", "message": 1}, ["thread"]),
    "a channel that is nowhere": ("chat", {"channel": "C0NOWHERE1", "message": 1}, []),
    "a user in no character set": ("chat", {"user": "\ud800"}, ["thread"]),
    "an address that is none": ("classify", {"text": "+", "response_url": "none:"}, ["private"]),
    "nothing": ("chat", dict.fromkeys(("team", "channel", "user", "ts", "thread_ts"), ...), []),
}


@pytest.mark.parametrize(("kind", "changes", "said"), BREAKING.values(), ids=BREAKING)
async def test_it_fails_and_the_next_of_its_thread_is_answered(
    sandbox: Sandbox,
    tmp_path: Path,
    roles: dict[str, Role],
    kind: str,
    changes: dict[str, Any],
    said: list[str],
) -> None:
    sandbox.faults.deaf = True
    ts = await sandbox.post("Ada", "general", f"{BOT} hello")
    later = await sandbox.post("Ada", "general", "and now?", ts)
    await lose_events(sandbox)
    database = f"sqlite+aiosqlite:///{tmp_path}/bot.sqlite3"
    storage = await Storage.open(database)
    broken = stored_question(sandbox, ts, ts, "hello") | changes
    broken = {name: value for name, value in broken.items() if value is not ...}  # that field is missing
    owner = f"{sandbox.team_id}:{sandbox.users['Ada']}"
    thread = f"slack:{sandbox.team_id}:{sandbox.channels['general']}:{ts}"
    await storage.accept(Request("broken", thread, kind, broken, owner))
    following = stored_question(sandbox, later, ts, "and now?")
    await storage.accept(Request("next", thread, "chat", following, owner))
    await storage.close()
    async with run_bot(sandbox, database, Scripted(), roles) as bot:
        await bot.idle()
        replies = [shown(m) for m in await bot.replies("general", ts)]
        assert replies[-1].startswith("You said: and now?")
        failed = await bot.services.storage.request("broken")
        assert failed is not None
        assert failed.state == "failed"
        assert "UndecodablePayload" in str(failed.problem)
        private = [e.message["text"] for e in sandbox.workspace.ephemerals if e.user == sandbox.users["Ada"]]
        apologies = ["thread"] * sum(SORRY in text for text in replies)
        apologies += ["private"] * sum(SORRY in text for text in private)
        assert apologies == said
        assert bot.app.slack.inbox.outcomes == {"failed": 1, "answered": 1}


def break_requests(database: Path) -> None:
    """Take a field from every stored request."""
    with sqlite3.connect(database) as opened:
        for key, payload in opened.execute("SELECT key, payload FROM requests").fetchall():
            stored = json.loads(payload)
            stored.pop("channel")
            opened.execute("UPDATE requests SET payload = ? WHERE key = ?", (json.dumps(stored), key))
    opened.close()


@pytest.mark.parametrize("damaged", ["", '{"team":', "[" * 100_000], ids=["empty", "cut short", "too deep"])
async def test_a_row_that_is_no_json_fails_and_all_others_are_answered(
    sandbox: Sandbox, tmp_path: Path, roles: dict[str, Role], damaged: str
) -> None:
    sandbox.faults.deaf = True
    ts = await sandbox.post("Ada", "general", f"{BOT} hello")
    await lose_events(sandbox)
    database = f"sqlite+aiosqlite:///{tmp_path}/bot.sqlite3"
    storage = await Storage.open(database)
    owner = f"{sandbox.team_id}:{sandbox.users['Ada']}"
    thread = f"slack:{sandbox.team_id}:{sandbox.channels['general']}:{ts}"
    stored = stored_question(sandbox, ts, ts, "hello")
    await storage.accept(Request("broken", thread, "chat", stored, owner))
    await storage.accept(Request("next", thread, "chat", stored, owner))
    await storage.close()
    with sqlite3.connect(tmp_path / "bot.sqlite3") as opened:
        opened.execute("UPDATE requests SET payload = ? WHERE key = 'broken'", (damaged,))
    opened.close()
    async with run_bot(sandbox, database, Scripted(), roles) as bot:
        await bot.idle()
        assert shown((await bot.replies("general", ts))[-1]).startswith("You said: hello")
        assert bot.app.slack.inbox.outcomes == {"failed": 1, "answered": 1}


@pytest.mark.parametrize("button", ["try_again", "judge_reply", "forget_thread"])
async def test_a_button_of_such_a_request_says_that_it_is_gone(
    bot: RunningBot, tmp_path: Path, button: str
) -> None:
    box = bot.sandbox
    ts = await box.post("Ada", "general", f"{BOT} hello")
    (reply,) = await bot.replies("general", ts)
    await bot.idle()
    break_requests(tmp_path / "bot.sqlite3")
    await box.press("Ada", "general", reply["ts"], button)
    (note,) = await ephemerals_of(bot, "Ada")
    assert note["text"] == "I no longer have what this button belongs to."
    assert len(bot.engine.prompts) == 1


async def test_sharing_such_a_classification_says_that_it_is_gone(bot: RunningBot, tmp_path: Path) -> None:
    box = bot.sandbox
    await box.command("Ada", "general", "/emotion", "+ a day")
    label = (await ephemerals_of(bot, "Ada"))[0]
    await bot.idle()
    before = len(box.ephemerals("Ada", "general"))
    break_requests(tmp_path / "bot.sqlite3")
    await box.press("Ada", "general", label["ts"], "share_emotion")
    note = (await ephemerals_of(bot, "Ada", count=before + 1))[-1]
    assert note["text"] == "I no longer have what this button belongs to."
    assert box.messages("general") == []


async def test_every_kind_that_is_stored_is_answered(bot: RunningBot) -> None:
    assert set(bot.app.slack.inbox._kinds) == set(KINDS)

"""What the app may do in the workspace: read from its manifest, as Slack reads it at installation."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.settings import SLACK_MANIFEST

# The scope without which Slack refuses to subscribe a bot to an event.
EVENT_SCOPES = {
    "app_mention": "app_mentions:read",
    "message.channels": "channels:history",
    "message.groups": "groups:history",
    "message.im": "im:history",
    "message.mpim": "mpim:history",
    "member_joined_channel": "channels:read",
    "reaction_added": "reactions:read",
    "assistant_thread_started": "assistant:write",
    "assistant_thread_context_changed": "assistant:write",
}
ALL_SCOPES = (
    "app_mentions:read",
    "assistant:write",
    "channels:history",
    "channels:join",
    "channels:read",
    "chat:write",
    "chat:write.customize",
    "chat:write.public",
    "commands",
    "files:read",
    "files:write",
    "groups:history",
    "groups:read",
    "im:history",
    "im:read",
    "im:write",
    "mpim:history",
    "mpim:read",
    "mpim:write",
    "reactions:read",
    "reactions:write",
    "team:read",
    "users:read",
)


@dataclass(frozen=True)
class Command:
    """One slash command as the manifest describes it."""

    name: str
    description: str = ""
    usage_hint: str = ""


@dataclass(frozen=True)
class App:
    """The installed app; as it stands here without arguments, one that may do everything."""

    name: str = "Bot"
    scopes: tuple[str, ...] = ALL_SCOPES
    events: frozenset[str] | None = None
    commands: tuple[Command, ...] | None = None
    shortcuts: tuple[tuple[str, str], ...] = ()  # (callback_id, name) of message shortcuts
    home_tab: bool = True
    messages_tab: bool = True
    assistant: bool = True
    prompts: tuple[tuple[str, str], ...] = ()  # (title, message) the manifest itself suggests

    def hears(self, event: str) -> bool:
        """Whether `event` is subscribed to and its scope was granted."""
        if self.events is not None and event not in self.events:
            return False
        scope = EVENT_SCOPES.get(event)
        return scope is None or scope in self.scopes

    def knows(self, command: str) -> bool:
        """Whether the slash command belongs to the app."""
        return self.commands is None or any(known.name == command for known in self.commands)


def read_app(source: Path | dict[str, Any] | App | None = None) -> App:
    """The app from its manifest (a file, or its parsed content); None reads the one that ships.

    Raises ValueError naming the file when it is not there or not JSON.
    """
    if isinstance(source, App):
        return source
    if source is None:
        source = SLACK_MANIFEST
    if isinstance(source, Path):
        try:
            found = json.loads(source.read_text(encoding="utf-8"))
        except OSError as problem:
            raise ValueError(f"{source}: {problem.strerror}: the sandbox reads the app from it") from None
        except ValueError as problem:
            raise ValueError(f"{source}: not valid JSON: {problem}") from None
    else:
        found = source
    features = found.get("features", {})
    settings = found.get("settings", {})
    home = features.get("app_home", {})
    pane = features.get("agent_view") or features.get("assistant_view") or {}
    return App(
        name=features.get("bot_user", {}).get("display_name")
        or found.get("display_information", {}).get("name", "Bot"),
        scopes=tuple(found.get("oauth_config", {}).get("scopes", {}).get("bot", ())),
        events=frozenset(settings.get("event_subscriptions", {}).get("bot_events", ())),
        commands=tuple(
            Command(entry["command"], entry.get("description", ""), entry.get("usage_hint", ""))
            for entry in features.get("slash_commands", ())
        ),
        shortcuts=tuple(
            (entry["callback_id"], entry["name"])
            for entry in features.get("shortcuts", ())
            if entry.get("type") == "message"
        ),
        home_tab=bool(home.get("home_tab_enabled", False)),
        messages_tab=bool(
            home.get("messages_tab_enabled", True) and not home.get("messages_tab_read_only_enabled", False)
        ),
        assistant=bool(pane),
        prompts=tuple((p["title"], p["message"]) for p in pane.get("suggested_prompts", ())),
    )

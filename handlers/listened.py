"""Whatever Slack sends, reduced to who it comes from, where, and whether it is meant for the bot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from handlers.context import Identity
from handlers.reading import names_bot


@dataclass(frozen=True)
class Heard:
    """One event, command, shortcut or press.

    team: the workspace the bot is installed in. home: the team that the person belongs to, "" where
    Slack does not say. channel: where a private line can be shown; the person's id where none is told.
    """

    team: str
    home: str
    user: str
    channel: str
    thread_ts: str | None
    text: str
    kind: str  # message, app_mention or another event's type; command, press, shortcut or view

    @classmethod
    def of(cls, body: dict[str, Any]) -> Heard | None:
        """What a request's body says; None for what no person did."""
        if event := body.get("event"):
            return cls._of_event(body, event)
        if body.get("command"):
            team, user = body["team_id"], body["user_id"]
            return cls(team, "", user, body["channel_id"], None, body.get("text") or "", "command")
        person, team = body.get("user") or {}, body.get("team") or {}
        if not person.get("id") or not team.get("id"):
            return None
        channel = (body.get("channel") or {}).get("id") or person["id"]
        thread_ts = (body.get("message") or {}).get("thread_ts")
        kinds = {"block_actions": "press", "message_action": "shortcut"}
        kind = kinds.get(body.get("type", ""), "view")
        return cls(team["id"], person.get("team_id") or "", person["id"], channel, thread_ts, "", kind)

    @classmethod
    def _of_event(cls, body: dict[str, Any], event: dict[str, Any]) -> Heard | None:
        pane = event.get("assistant_thread") or {}
        user = event.get("user") or pane.get("user_id")
        if not isinstance(user, str) or event.get("bot_id"):
            return None
        home = event.get("user_team") or event.get("source_team") or event.get("team") or ""
        channel = event.get("channel") or pane.get("channel_id") or user
        text = str(event.get("text") or "")
        thread_ts = event.get("thread_ts") or pane.get("thread_ts")
        return cls(body["team_id"], home, user, channel, thread_ts, text, event["type"])

    def aimed(self, me: Identity | None) -> bool:
        """Whether the person wants something of the bot, as far as this alone tells."""
        if self.kind == "message":
            return self.channel.startswith("D") or bool(me and names_bot(self.text, me.user))
        return self.kind in ("app_mention", "command", "press", "shortcut", "assistant_thread_started")

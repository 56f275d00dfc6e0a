"""Direct messages, replies in threads that the bot is in, and edits and deletions there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from slack_bolt import BoltResponse
from slack_bolt.async_app import AsyncApp

from handlers.listeners.intake import take_change, take_message
from handlers.transport.context import SlackContext

_CHANGES = ("message_changed", "message_deleted")


def register_changes(app: AsyncApp, slack: SlackContext) -> None:
    """Have edits and deletions change the bot's memory."""

    @app.middleware
    async def changed(
        body: dict[str, Any], next: Callable[[], Awaitable[BoltResponse | None]]
    ) -> BoltResponse | None:
        event = body.get("event") or {}
        if event.get("type") != "message" or event.get("subtype") not in _CHANGES:
            return await next()
        await take_change(slack, event, body["team_id"])
        return BoltResponse(status=200)


def register(app: AsyncApp, slack: SlackContext) -> None:
    """Listen for messages of every kind."""

    @app.event("message")
    async def said(event: dict[str, Any], body: dict[str, Any]) -> None:
        await take_message(slack, event, body["team_id"])

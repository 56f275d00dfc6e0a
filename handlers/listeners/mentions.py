"""Somebody mentions the bot: it answers in the thread."""

from __future__ import annotations

from typing import Any

from slack_bolt.async_app import AsyncApp

from handlers.listeners.intake import take_message
from handlers.transport.context import SlackContext


def register(app: AsyncApp, slack: SlackContext) -> None:
    """Listen for mentions."""

    @app.event("app_mention")
    async def mentioned(event: dict[str, Any], body: dict[str, Any]) -> None:
        await take_message(slack, event, body["team_id"])

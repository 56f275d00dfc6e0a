"""Slack's assistant pane: a greeting, prompts to begin with, a title, and answers in its threads."""

from __future__ import annotations

from typing import Any

from slack_bolt.async_app import AsyncApp, AsyncAssistant, AsyncSetSuggestedPrompts
from slack_bolt.context.set_title.async_set_title import AsyncSetTitle
from slack_sdk.errors import SlackApiError

from bot.tags import split_tag
from handlers.asking import take_message
from handlers.blocks import section
from handlers.context import Slack, thread_key
from handlers.looking import greeting_metadata
from handlers.manners import neutralise
from handlers.reading import readable

TITLE = 60  # characters of a thread's title


def register(app: AsyncApp, slack: Slack) -> None:
    """Listen for the pane's events."""
    assistant = AsyncAssistant()

    @assistant.thread_started
    async def started(
        event: dict[str, Any], body: dict[str, Any], set_suggested_prompts: AsyncSetSuggestedPrompts
    ) -> None:
        pane = event["assistant_thread"]
        words = await slack.words(body["team_id"], pane["user_id"])
        seen = pane.get("context") or {}
        await slack.client.chat_postMessage(
            channel=pane["channel_id"],
            thread_ts=pane["thread_ts"],
            text=words("greeting"),
            blocks=[section(words("greeting"))],  # Bolt updates the message with its blocks
            metadata=greeting_metadata(seen),
        )
        names = ["emotion", "reply", "explain", *(["channel"] if seen.get("channel_id") else [])]
        await set_suggested_prompts(
            title=words("prompts_title"),
            prompts=[{"title": words(f"prompt_{n}_title"), "message": words(f"prompt_{n}")} for n in names],
        )

    @assistant.user_message
    async def asked(event: dict[str, Any], body: dict[str, Any], set_title: AsyncSetTitle) -> None:
        team = body["team_id"]
        thread = thread_key(team, event["channel"], event["thread_ts"])
        new = await slack.services.storage.thread(thread) is None
        await take_message(slack, event, team, surface="assistant")
        text = split_tag(await readable(slack, str(event.get("text") or "")))[1]
        if new and text:
            try:
                await set_title(neutralise(" ".join(text.split()))[:TITLE])
            except SlackApiError:
                app.logger.info("this direct message has no assistant pane")

    app.assistant(assistant)

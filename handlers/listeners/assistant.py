"""Slack's assistant pane: a greeting, prompts to begin with, a title, and answers in its threads."""

from __future__ import annotations

from typing import Any

from slack_bolt.async_app import AsyncApp, AsyncAssistant, AsyncSetSuggestedPrompts
from slack_bolt.context.set_title.async_set_title import AsyncSetTitle
from slack_sdk.errors import SlackApiError

from bot.roles import split_tag
from handlers.formatting.sanitize import neutralise
from handlers.listeners.intake import take_message
from handlers.replies.blocks import section
from handlers.replies.channel_context import greeting_metadata
from handlers.replies.message_text import message_text
from handlers.transport.context import SlackContext, thread_key

TITLE = 60  # characters of a thread's title


def register(app: AsyncApp, slack: SlackContext) -> None:
    """Listen for the pane's events."""
    assistant = AsyncAssistant()

    @assistant.thread_started
    async def started(
        event: dict[str, Any], body: dict[str, Any], set_suggested_prompts: AsyncSetSuggestedPrompts
    ) -> None:
        pane = event["assistant_thread"]
        strings = await slack.strings(body["team_id"], pane["user_id"])
        viewed = pane.get("context") or {}
        await slack.client.chat_postMessage(
            channel=pane["channel_id"],
            thread_ts=pane["thread_ts"],
            text=strings("greeting"),
            blocks=[section(strings("greeting"))],  # Bolt updates the message with its blocks
            metadata=greeting_metadata(viewed),
        )
        names = ["emotion", "reply", "explain", *(["channel"] if viewed.get("channel_id") else [])]
        await set_suggested_prompts(
            title=strings("prompts_title"),
            prompts=[
                {"title": strings(f"prompt_{n}_title"), "message": strings(f"prompt_{n}")} for n in names
            ],
        )

    @assistant.user_message
    async def asked(event: dict[str, Any], body: dict[str, Any], set_title: AsyncSetTitle) -> None:
        team = body["team_id"]
        thread = thread_key(team, event["channel"], event["thread_ts"])
        new = await slack.services.storage.thread(thread) is None
        await take_message(slack, event, team, surface="assistant")
        text = split_tag(await message_text(slack, event))[1]
        if new and text:
            try:
                await set_title(neutralise(" ".join(text.split()))[:TITLE])
            except SlackApiError:
                app.logger.info("this direct message has no assistant pane")

    app.assistant(assistant)

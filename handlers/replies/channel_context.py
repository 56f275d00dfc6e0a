"""The channel that a person views beside the assistant pane, read when a question is about it."""

from __future__ import annotations

import logging
from typing import Any

from slack_sdk.errors import SlackApiError

from config.strings import catalogue
from handlers.formatting.readable import mentioned_channels
from handlers.replies.message_text import SPOKEN, author_name, message_text
from handlers.transport.context import SlackContext
from handlers.transport.slack_errors import error_code

log = logging.getLogger(__name__)

# event_type of the metadata in which Bolt keeps the viewed channel on the pane's greeting
PANE_CONTEXT = "assistant_thread_context"
MOST_MESSAGES = 15
MOST_CHARACTERS = 1_500


class ChannelUnreadable(Exception):
    """The bot is not in the channel that the question is about."""


def greeting_metadata(context: dict[str, Any]) -> dict[str, Any] | None:
    """What the greeting carries: the pane's context, if a channel is viewed."""
    return {"event_type": PANE_CONTEXT, "event_payload": context} if context.get("channel_id") else None


async def quote_viewed_channel(slack: SlackContext, text: str, channel: str, thread_ts: str) -> str | None:
    """The newest messages of the viewed channel, as a quotation; None where `text` is not about it.

    It is where the text names that channel, or is the suggested prompt. Raises ChannelUnreadable.
    """
    named = mentioned_channels(text)
    if not named and text.strip() not in {strings["prompt_channel"] for strings in catalogue().values()}:
        return None
    viewed = await _viewed_channel(slack, channel, thread_ts)
    if viewed is None or (named and viewed not in named):
        return None
    if not slack.allowed(viewed):
        raise ChannelUnreadable
    try:
        found = await slack.client.conversations_history(channel=viewed, limit=MOST_MESSAGES)
    except SlackApiError as problem:
        log.info("conversations.history: %s", error_code(problem))
        raise ChannelUnreadable from None
    me = (await slack.identity()).bot
    lines: list[str] = []
    for message in found["messages"]:  # newest first
        if message.get("bot_id") == me or message.get("subtype") not in SPOKEN:
            continue
        text = " ".join((await message_text(slack, message)).split())
        line = f"> {await author_name(slack, message)}: {text}"
        if sum(map(len, lines)) + len(line) > MOST_CHARACTERS:
            break
        lines.insert(0, line)
    return "\n".join(lines)


async def _viewed_channel(slack: SlackContext, channel: str, thread_ts: str) -> str | None:
    found = await slack.client.conversations_replies(
        channel=channel, ts=thread_ts, limit=4, include_all_metadata=True
    )
    for message in found["messages"]:
        metadata = message.get("metadata") or {}
        if metadata.get("event_type") == PANE_CONTEXT:
            viewed: str | None = (metadata.get("event_payload") or {}).get("channel_id")
            return viewed
    return None

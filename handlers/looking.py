"""The channel that somebody looks at beside the assistant pane: read when a question is about it."""

from __future__ import annotations

import logging
import re
from typing import Any

from slack_sdk.errors import SlackApiError

from handlers.context import Slack
from handlers.language import catalogue
from handlers.reading import message_text

log = logging.getLogger(__name__)

SEEN = "assistant_thread_context"  # event_type under which Bolt keeps the channel on the pane's greeting
MOST_MESSAGES = 15
MOST_CHARACTERS = 1_500
_CHANNEL = re.compile(r"<#([A-Z0-9]+)(?:\|[^>]*)?>")


class Unreadable(Exception):
    """The bot is not in the channel that the question is about."""


def greeting_metadata(seen: dict[str, Any]) -> dict[str, Any] | None:
    """What the greeting carries: the channel looked at, if there is one."""
    return {"event_type": SEEN, "event_payload": seen} if seen.get("channel_id") else None


async def channel_in_question(slack: Slack, text: str, channel: str, thread_ts: str) -> str | None:
    """The newest messages of the channel looked at, as a quotation; None where `text` is not about it.

    It is where the text names that channel, or is the suggested prompt. Raises Unreadable.
    """
    named = {match[1] for match in _CHANNEL.finditer(text)}
    if not named and text.strip() not in {strings["prompt_channel"] for strings in catalogue().values()}:
        return None
    seen = await _looked_at(slack, channel, thread_ts)
    if seen is None or (named and seen not in named):
        return None
    if not slack.allowed(seen):
        raise Unreadable
    try:
        found = await slack.client.conversations_history(channel=seen, limit=MOST_MESSAGES)
    except SlackApiError as problem:
        log.info("conversations.history: %s", problem.response.get("error"))
        raise Unreadable from None
    lines: list[str] = []
    for message in found["messages"]:  # newest first
        if message.get("bot_id") or message.get("subtype") not in (None, "file_share"):
            continue
        said = " ".join((await message_text(slack, message)).split())
        line = f"> {(await slack.person(message['user'])).name}: {said}"
        if sum(map(len, lines)) + len(line) > MOST_CHARACTERS:
            break
        lines.insert(0, line)
    return "\n".join(lines)


async def _looked_at(slack: Slack, channel: str, thread_ts: str) -> str | None:
    found = await slack.client.conversations_replies(
        channel=channel, ts=thread_ts, limit=4, include_all_metadata=True
    )
    for message in found["messages"]:
        metadata = message.get("metadata") or {}
        if metadata.get("event_type") == SEEN:
            seen: str | None = (metadata.get("event_payload") or {}).get("channel_id")
            return seen
    return None

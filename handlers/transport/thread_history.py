"""Threads read from Slack, and the metadata by which the bot knows its own answers in them."""

from __future__ import annotations

import logging
from typing import Any

from slack_sdk.errors import SlackApiError

from handlers.transport.context import SlackContext
from handlers.transport.slack_errors import error_code, is_transient

log = logging.getLogger(__name__)

ANSWER = "all_in_one_bot_answer"  # event_type of the metadata on the bot's answers
MOST_PAGES = 10
_PAGE = 200


async def fetch_thread(
    slack: SlackContext, channel: str, thread_ts: str, since: str | None = None
) -> list[dict[str, Any]]:
    """A thread's messages, oldest first, the bot's with their metadata; [] where it may not be read.

    since: only the parent and what came after this ts.
    """
    messages: list[dict[str, Any]] = []
    cursor: str | None = None
    for _ in range(MOST_PAGES):
        try:
            found = await slack.client.conversations_replies(
                channel=channel,
                ts=thread_ts,
                limit=_PAGE,
                cursor=cursor,
                oldest=since,
                include_all_metadata=True,
            )
        except SlackApiError as problem:
            if is_transient(problem):
                raise
            log.warning("conversations.replies: %s", error_code(problem))
            break
        known = {message["ts"] for message in messages}
        messages += [message for message in found["messages"] if message["ts"] not in known]
        cursor = (found.get("response_metadata") or {}).get("next_cursor")
        if not cursor:
            break
    return messages


def answer_metadata(
    key: str, kind: str, asked: str, part: int = 0, *, edits: int = 0, final: bool = True, last: bool = True
) -> dict[str, Any]:
    """The metadata on one of the bot's messages, by which a later process recognizes it.

    key: the request it answers. kind: chat, emotion or notice. asked: the ts of the question. part: which
    of the answer's messages it is. edits: how often the question had been edited. final: it is written no
    more. last: no other part follows.
    """
    payload = {"request": key, "kind": kind, "asked": asked, "part": part, "final": final, "last": last}
    return {"event_type": ANSWER, "event_payload": {**payload, "edits": edits}}


def answer_payload(message: dict[str, Any]) -> dict[str, Any]:
    """What the metadata on one of the bot's answers says; {} on other messages."""
    metadata = message.get("metadata") or {}
    return metadata.get("event_payload") or {} if metadata.get("event_type") == ANSWER else {}

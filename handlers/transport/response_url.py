"""Answers to commands, shortcuts and buttons at the response_url that came with them, mostly ephemeral."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, TypeAlias

from aiohttp import ClientConnectorError, ClientError
from slack_sdk.errors import SlackRequestError

from bot.inbox import Job
from bot.inbox.payloads import ClassifyText, ForgetChannel, OpenChat, ShareEmotion, ThreadMood
from handlers.transport.context import SlackContext

log = logging.getLogger(__name__)

WithResponseUrl: TypeAlias = ClassifyText | ThreadMood | OpenChat | ForgetChannel | ShareEmotion

SENT = "sent"  # stands for the ts of an answer that Slack gives none
LINK_SECONDS = 1_500.0  # a response_url is good for half an hour


async def respond(
    slack: SlackContext,
    response_url: str,
    text: str,
    content: Sequence[dict[str, Any]] | None = None,
    *,
    in_channel: bool = False,
    thread_ts: str | None = None,
) -> None:
    """Answer at a response_url. Raises SlackRequestError where Slack does not take it."""
    body = {
        "text": text,
        "blocks": list(content) if content else None,
        "response_type": "in_channel" if in_channel else "ephemeral",
        "replace_original": False,
        "thread_ts": thread_ts,
        "unfurl_links": False,
        "unfurl_media": False,
    }
    await slack.client.respond(response_url, {k: v for k, v in body.items() if v is not None})


async def respond_once(
    slack: SlackContext,
    job: Job[WithResponseUrl],
    text: str,
    content: Sequence[dict[str, Any]] | None = None,
    *,
    in_channel: bool = False,
) -> None:
    """Answer the request of `job` at its response_url, where nobody can read back what was answered.

    One that was begun before the process ended counts as shown: twice would be worse than the little
    chance of never.
    """
    if job.resumed and job.posted == SENT:
        return
    await slack.inbox.note_posted(job, SENT)
    payload = job.payload
    try:
        await respond(
            slack, payload.response_url, text, content, in_channel=in_channel, thread_ts=payload.thread_ts
        )
    except (ClientConnectorError, SlackRequestError):  # it was not shown
        await slack.inbox.note_posted(job, "")
        raise
    except (ClientError, asyncio.TimeoutError) as problem:
        log.warning("request %s: Slack did not say whether it showed the answer: %s", job.key, problem)

"""Answers to commands, shortcuts and buttons: at their response_url, and without it once it has run out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, TypeAlias

from aiohttp import ClientConnectorError, ClientError
from slack_sdk.errors import SlackApiError, SlackRequestError

from bot.inbox import Job
from bot.inbox.payloads import ClassifyText, ForgetChannel, OpenChat, ShareEmotion, ThreadMood
from handlers.transport.context import SlackContext
from handlers.transport.slack_errors import is_transient

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
        if job.late(LINK_SECONDS):
            await _post(slack, payload, text, content, in_channel)
            return
        try:
            await respond(
                slack, payload.response_url, text, content, in_channel=in_channel, thread_ts=payload.thread_ts
            )
        except SlackRequestError as problem:  # the link is used up or was never good
            log.info("request %s: %s; the answer is posted", job.key, problem)
            await _post(slack, payload, text, content, in_channel)
    except (ClientConnectorError, SlackApiError):  # it was not shown
        await slack.inbox.note_posted(job, "")
        raise
    except (ClientError, asyncio.TimeoutError) as problem:
        log.warning("request %s: Slack did not say whether it showed the answer: %s", job.key, problem)


async def _post(
    slack: SlackContext,
    payload: WithResponseUrl,
    text: str,
    content: Sequence[dict[str, Any]] | None,
    in_channel: bool,
) -> None:
    """Answer without the response_url, which lasts half an hour. Raises SlackApiError."""
    if in_channel:
        try:
            await slack.client.chat_postMessage(
                channel=payload.channel,
                thread_ts=payload.thread_ts,
                text=text,
                blocks=list(content) if content else None,
                unfurl_links=False,
                unfurl_media=False,
            )
            return
        except SlackApiError as problem:
            if is_transient(problem):
                raise
            strings = await slack.strings(payload.team, payload.user)
            text, content = strings("not_member", bot=(await slack.identity()).name), None
    await slack.show(payload.channel, payload.user, text, content, payload.thread_ts)

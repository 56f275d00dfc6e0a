"""Answers that only the asker sees, through the response_url that came with the request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from aiohttp import ClientConnectorError, ClientError
from slack_sdk.errors import SlackRequestError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.webhook.async_client import AsyncWebhookClient

from bot.inbox import Job
from handlers import blocks
from handlers.context import Slack, user_key
from handlers.emotions import classify
from handlers.manners import echo

log = logging.getLogger(__name__)

SENT = "sent"  # stands for the ts of an answer that Slack gives none


async def respond(
    url: str,
    text: str,
    content: Sequence[blocks.Block] | None = None,
    *,
    in_channel: bool = False,
    replace: bool = False,
    thread_ts: str | None = None,
) -> None:
    """Answer at a response_url. Raises SlackRequestError where Slack does not take it."""
    body = {
        "text": text,
        "blocks": list(content) if content else None,
        "response_type": "in_channel" if in_channel else "ephemeral",
        "replace_original": replace,
        "thread_ts": thread_ts,
        "unfurl_links": False,
        "unfurl_media": False,
    }
    client = AsyncWebhookClient(url, retry_handlers=[AsyncRateLimitErrorRetryHandler(max_retry_count=3)])
    answer = await client.send_dict({k: v for k, v in body.items() if v is not None})
    if answer.status_code != 200:
        raise SlackRequestError(
            f"the response_url refused the answer: {answer.status_code} {answer.body[:200]}"
        )


async def respond_once(
    slack: Slack,
    job: Job,
    text: str,
    content: Sequence[blocks.Block] | None = None,
    *,
    in_channel: bool = False,
    thread_ts: str | None = None,
) -> None:
    """Answer the request of `job` at its response_url, where nobody can read back what was answered.

    One that was begun before the process ended counts as shown: twice would be worse than the little
    chance of never.
    """
    if job.resumed and job.posted == SENT:
        return
    await slack.inbox.note_posted(job, SENT)
    url = job.request.payload["response_url"]
    try:
        await respond(url, text, content, in_channel=in_channel, thread_ts=thread_ts)
    except (ClientConnectorError, SlackRequestError):  # it was not shown
        await slack.inbox.note_posted(job, "")
        raise
    except (ClientError, asyncio.TimeoutError) as problem:
        log.warning("request %s: Slack did not say whether it showed the answer: %s", job.key, problem)


async def answer_privately(
    slack: Slack, job: Job, text: str, content: Sequence[blocks.Block] | None = None
) -> None:
    """Answer the request of `job` for its asker's eyes only."""
    await respond_once(slack, job, text, content, thread_ts=job.request.payload.get("thread_ts"))


async def show_emotion(slack: Slack, job: Job) -> None:
    """Classify the request's text for its asker, with a button to share it; then say which words decided."""
    asked = job.request.payload
    words = await slack.words(asked["team"], asked["user"])
    if job.late(1_500.0):  # the response_url has run out
        await slack.whisper(asked["channel"], asked["user"], words("too_late"))
        return
    user = user_key(asked["team"], asked["user"])
    result = await classify(slack, words, asked["text"], user, asked.get("role", "emotion"))
    if result is None:
        await answer_privately(slack, job, words("nothing_to_classify"))
        return
    content = blocks.emotion_blocks(
        result.line, result.confidence, words, job.key, quote=echo(result.text, 300)
    )
    await answer_privately(slack, job, result.line, content)
    if why := await result.why(slack, words):  # Slack replaces no answer to a command: it is a second one
        await answer_privately(slack, job, why, [blocks.context(why)])

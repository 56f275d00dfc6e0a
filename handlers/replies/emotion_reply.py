"""How a text sounds: classified for Slack, and shown to its asker alone through the response_url."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from aiohttp import ClientConnectorError, ClientError
from slack_sdk.errors import SlackRequestError

from bot.emotion import Emotion, EmptyText
from bot.emotion.sentences import emotion_line
from bot.inbox import Job
from bot.inbox.payloads import ClassifyText, ForgetChannel, OpenChat, ShareEmotion, ThreadMood
from config.strings import Strings
from handlers.formatting.sanitize import escape, quote
from handlers.replies import blocks
from handlers.transport.context import SlackContext, user_key

log = logging.getLogger(__name__)

Ephemeral: TypeAlias = ClassifyText | ThreadMood | OpenChat | ForgetChannel | ShareEmotion

FEELINGS = "feelings"
MOST_SPANS = 3  # named as the reason
SENT = "sent"  # stands for the ts of an answer that Slack gives none
LINK_SECONDS = 1_500.0  # a response_url is good for half an hour


@dataclass(frozen=True)
class Classified:
    """A classified text, ready to be shown."""

    text: str
    emotion: Emotion
    line: str

    @property
    def confidence(self) -> float:
        """How sure the model is, from 0 to 1."""
        return self.emotion.confidence

    async def reason(self, slack: SlackContext, strings: Strings) -> str:
        """The spans that were decisive, in bold, each with its weight; "" where none stands out."""
        found = await slack.services.classifier.explain(self.text, self.emotion)
        spans = [
            f"*{escape(span.text)}* ({span.weight:+.2f})"
            for span in found.evidence[:MOST_SPANS]
            if span.text.strip() and span.weight > 0
        ]
        return strings("because", words=", ".join(spans)) if spans else ""


async def classify(
    slack: SlackContext, strings: Strings, text: str, user: str, role: str = "emotion"
) -> Classified | None:
    """How `text` sounds, by `user`'s own settings; None for a text with nothing to classify.

    role: another one than emotion adds a line with its label.
    """
    settings = await slack.services.storage.settings(user)
    classifier = slack.services.classifier
    try:
        emotion = await classifier.classify(text, strict=settings.neutral is False)
        line = emotion_line(emotion, slack.services.roles["emotion"])
        if role != "emotion":
            finer = await classifier.classify(text, role=role)
            line += f"\n{finer.emoji} {strings('feelings_title')}: {finer.label} ({finer.confidence:.0%})"
    except EmptyText:
        return None
    return Classified(text, emotion, line)


async def respond(
    slack: SlackContext,
    response_url: str,
    text: str,
    content: Sequence[blocks.Block] | None = None,
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
    job: Job[Ephemeral],
    text: str,
    content: Sequence[blocks.Block] | None = None,
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


async def show_emotion(slack: SlackContext, job: Job[ClassifyText]) -> None:
    """Classify the request's text for its asker, with a button to share it; then say why."""
    payload = job.payload
    strings = await slack.strings(payload.team, payload.user)
    if job.late(LINK_SECONDS):
        await slack.post_ephemeral(payload.channel, payload.user, strings("too_late"))
        return
    user = user_key(payload.team, payload.user)
    result = await classify(slack, strings, payload.text, user, payload.role)
    if result is None:
        await respond_once(slack, job, strings("nothing_to_classify"))
        return
    content = blocks.emotion_blocks(
        result.line, result.confidence, strings, job.key, quoted=quote(result.text, 300)
    )
    await respond_once(slack, job, result.line, content)
    # Slack replaces no answer to a command: the reason is a second one.
    if reason := await result.reason(slack, strings):
        await respond_once(slack, job, reason, [blocks.context(reason)])

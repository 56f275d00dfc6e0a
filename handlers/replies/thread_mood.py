"""How a thread sounds, message by message, for one person alone. It names messages, never people."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from typing import Any, TypeAlias

from slack_sdk.errors import SlackApiError

from bot.emotion import Emotion, EmptyText
from bot.emotion.sentences import label_aside, omitted_text
from bot.inbox import Job
from bot.inbox.payloads import ThreadMood
from config.strings import Strings
from handlers.replies.blocks import Block, context, section
from handlers.replies.chart import draw
from handlers.replies.message_text import SPOKEN, message_text
from handlers.transport.context import SlackContext
from handlers.transport.response_url import respond_once
from handlers.transport.slack_errors import error_code
from handlers.transport.thread_history import fetch_thread

log = logging.getLogger(__name__)

Rows: TypeAlias = list[tuple[str, Emotion]]  # (ts, emotion) of each message

MOST_ROWS = 40  # the newest messages of the thread


async def show_mood(slack: SlackContext, job: Job[ThreadMood]) -> None:
    """Score each message of a thread in one batch and show the asker a timeline."""
    payload = job.payload
    strings = await slack.strings(payload.team, payload.user)
    if job.late(slack.services.settings.answer_within):
        await respond_once(slack, job, strings("too_late"))
        return
    messages = await fetch_thread(slack, payload.channel, payload.thread_ts or payload.ts)
    if not messages:
        name = (await slack.identity()).name
        await respond_once(slack, job, strings("mood_unreadable", bot=name))
        return
    rows, total = await _scored(slack, messages)
    if not rows:
        await respond_once(slack, job, strings("nothing_to_classify"))
        return
    text, content = timeline(strings, rows, total)
    await respond_once(slack, job, text, content)
    await _send_chart(slack, strings, payload.user, rows)


async def _scored(slack: SlackContext, messages: list[dict[str, Any]]) -> tuple[Rows, int]:
    """The newest that people wrote, and how many messages that is of."""
    texts: list[tuple[str, str]] = []
    for message in messages:
        if message.get("bot_id") or message.get("subtype") not in SPOKEN:
            continue
        text = await message_text(slack, message)
        if any(character.isalnum() for character in text):
            texts.append((message["ts"], text))
    newest = texts[-MOST_ROWS:]
    if not newest:
        return [], 0
    try:
        found = await slack.services.classifier.classify_many([text for _, text in newest])
    except EmptyText:
        return [], 0
    return [(ts, emotion) for (ts, _), emotion in zip(newest, found, strict=True)], len(texts)


def timeline(strings: Strings, rows: Rows, total: int) -> tuple[str, list[Block]]:
    """The plain text and the blocks of a timeline; times are shown in each reader's own time zone."""
    lines = []
    for ts, emotion in rows:
        seconds = int(float(ts))
        utc = datetime.fromtimestamp(seconds, timezone.utc).strftime("%H:%M UTC")
        lines.append(
            strings(
                "mood_row",
                emoji=emotion.emoji,
                time=f"<!date^{seconds}^{{time}}|{utc}>",
                label=emotion.label + label_aside(emotion, strings.language),
                percent=round(emotion.confidence * 100),
            )
        )
    notes = [strings("model_note")]
    notes[:0] = dict.fromkeys(text for _, emotion in rows if (text := omitted_text(emotion, strings)))
    if total > len(rows):
        notes.insert(0, strings("mood_more", count=len(rows), total=total))
    title = strings("mood_title")
    return f"{title}\n" + "\n".join(lines), [
        section(f"*{title}*"),
        section("\n".join(lines)),
        context(*notes),
    ]


async def _send_chart(slack: SlackContext, strings: Strings, user: str, rows: Rows) -> None:
    """The timeline as a picture, in the asker's own direct message; left out where files are not allowed."""
    if len(rows) < 2:
        return
    values = [emotion.sign * emotion.confidence for _, emotion in rows]
    try:
        opened = await slack.client.conversations_open(users=user)
        await slack.client.files_upload_v2(
            channel=opened["channel"]["id"],
            content=draw(values),
            filename="mood.png",
            title=strings("mood_title"),
            alt_txt=strings("mood_chart", count=len(rows)),
        )
    except SlackApiError as problem:
        log.info("the mood chart was not uploaded: %s", error_code(problem))

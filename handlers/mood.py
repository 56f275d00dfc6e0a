"""How a thread sounds, message by message, for one person's eyes. It speaks of messages, never of people."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from typing import Any

from slack_sdk.errors import SlackApiError

from bot.emotion import Emotion, EmptyText
from bot.inbox import Job
from handlers.blocks import Block, context, section
from handlers.chart import draw
from handlers.context import Slack
from handlers.language import Words
from handlers.private import answer_privately
from handlers.reading import fetch_thread, message_text

log = logging.getLogger(__name__)

MOST_ROWS = 40  # the newest messages of the thread


async def show_mood(slack: Slack, job: Job) -> None:
    """Score each message of a thread in one batch and show the asker a timeline."""
    asked = job.request.payload
    words = await slack.words(asked["team"], asked["user"])
    messages = await fetch_thread(slack, asked["channel"], asked["thread_ts"] or asked["ts"])
    if not messages:
        name = (await slack.identity()).name
        await answer_privately(slack, job, words("mood_unreadable", bot=name))
        return
    rows, total = await _scored(slack, messages)
    if not rows:
        await answer_privately(slack, job, words("nothing_to_classify"))
        return
    text, content = timeline(words, rows, total)
    await answer_privately(slack, job, text, content)
    await _send_chart(slack, words, asked["user"], rows)


async def _scored(slack: Slack, messages: list[dict[str, Any]]) -> tuple[list[tuple[str, Emotion]], int]:
    """(ts, emotion) of the newest that people wrote, and how many messages that is of."""
    texts: list[tuple[str, str]] = []
    for message in messages:
        if message.get("bot_id") or message.get("subtype") not in (None, "file_share", "thread_broadcast"):
            continue
        text = await message_text(slack, message)
        if any(character.isalnum() for character in text):
            texts.append((message["ts"], text))
    newest = texts[-MOST_ROWS:]
    if not newest:
        return [], 0
    try:
        found = await slack.services.emotions.classify_many([text for _, text in newest])
    except EmptyText:
        return [], 0
    return [(ts, emotion) for (ts, _), emotion in zip(newest, found, strict=True)], len(texts)


def timeline(words: Words, rows: list[tuple[str, Emotion]], total: int) -> tuple[str, list[Block]]:
    """The plain text and the blocks of a timeline; times are shown in each reader's own time zone."""
    lines = []
    for ts, emotion in rows:
        seconds = int(float(ts))
        utc = datetime.fromtimestamp(seconds, timezone.utc).strftime("%H:%M UTC")
        lines.append(
            words(
                "mood_row",
                emoji=emotion.emoji,
                time=f"<!date^{seconds}^{{time}}|{utc}>",
                label=emotion.label,
                percent=round(emotion.confidence * 100),
            )
        )
    notes = [words("model_note")]
    if total > len(rows):
        notes.insert(0, words("mood_more", count=len(rows), total=total))
    title = words("mood_title")
    return f"{title}\n" + "\n".join(lines), [
        section(f"*{title}*"),
        section("\n".join(lines)),
        context(*notes),
    ]


async def _send_chart(slack: Slack, words: Words, user: str, rows: list[tuple[str, Emotion]]) -> None:
    """The timeline as a picture, in the asker's own direct message; left out where files are not allowed."""
    if len(rows) < 2:
        return
    values = [_value(emotion) for _, emotion in rows]
    try:
        opened = await slack.client.conversations_open(users=user)
        await slack.client.files_upload_v2(
            channel=opened["channel"]["id"],
            content=draw(values),
            filename="mood.png",
            title=words("mood_title"),
            alt_txt=words("mood_chart", count=len(rows)),
        )
    except SlackApiError as problem:
        log.info("the mood chart was not uploaded: %s", problem.response.get("error"))


def _value(emotion: Emotion) -> float:
    """-1 (negative) to 1 (positive)."""
    signs: dict[str, float] = {"正面": 1.0, "负面": -1.0}
    return signs.get(emotion.label, 0.0) * emotion.confidence

"""A thread's messages as text and as turns of a conversation, and which of them answer a request."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bot.roles import split_tag
from bot.storage import Turn
from handlers.formatting.sanitize import JOINER
from handlers.replies.message_text import SPOKEN, author_name, message_text
from handlers.transport.context import SlackContext, user_key
from handlers.transport.thread_history import answer_payload


async def thread_turns(slack: SlackContext, team: str, messages: Iterable[dict[str, Any]]) -> list[Turn]:
    """Messages of a thread as turns, other apps' among them under their names.

    Texts to be classified, and their answers, are no conversation. A tag in an app's message is text.
    """
    identity = await slack.identity()
    turns: list[Turn] = []
    for message in messages:
        at = float(message["ts"])
        if message.get("bot_id") == identity.bot or message.get("user") == identity.user:
            payload = answer_payload(message)
            if payload.get("kind") != "chat" or not payload.get("final"):
                continue
            asked = str(payload.get("asked") or message["ts"])
            text = answer_text(message)
            if turns and turns[-1].speaker == "assistant" and turns[-1].ts == asked:
                turns[-1] = Turn("assistant", f"{turns[-1].text}\n\n{text}", ts=asked, at=float(asked))
            elif text:
                turns.append(Turn("assistant", text, ts=asked, at=float(asked)))
            continue
        app, author = message.get("bot_id"), message.get("bot_id") or message.get("user")
        if not author or message.get("subtype") not in SPOKEN:
            continue
        text = await message_text(slack, message)
        mode, said = (None, text) if app else split_tag(text)
        if said and mode != "emotion":
            name = await author_name(slack, message)
            turns.append(Turn("user", said, name, user_key(team, author), message["ts"], at))
    return turns


def answer_text(message: dict[str, Any]) -> str:
    """The Markdown of one of the bot's messages, without the invisible joiners that were put in for Slack."""
    texts = [block["text"] for block in message.get("blocks") or [] if block.get("type") == "markdown"]
    text = "\n".join(texts) if texts else html.unescape(str(message.get("text") or ""))
    return text.replace(JOINER, "")


@dataclass(frozen=True)
class PostedAnswer:
    """What an earlier process had posted of one answer."""

    final: str | None  # ts of the finished answer's last message
    unfinished: tuple[str, ...]  # ts of messages that were being written


NOTHING_POSTED = PostedAnswer(None, ())


def find_answer(
    messages: Sequence[dict[str, Any]], bot: str, key: str, asked: str, noted: str | None, edits: int = 0
) -> PostedAnswer:
    """Look in a thread for the answer to request `key`, which was asked at `asked`.

    A message that was being streamed carries no metadata yet; `noted` is its ts where it was stored.
    One without any is taken for this answer's: replies of a thread are written one at a time.
    An answer to the question as it was before the last of its `edits` is unfinished.
    """
    final, unfinished = None, []
    for message in messages:
        if message.get("bot_id") != bot or float(message["ts"]) <= float(asked):
            continue
        payload = answer_payload(message)
        if payload.get("request") == key:
            if payload.get("final") and payload.get("last") and payload.get("edits", 0) == edits:
                final = message["ts"]
            else:
                unfinished.append(message["ts"])
        elif message["ts"] == noted or (not payload and message.get("streaming_state") == "in_progress"):
            unfinished.append(message["ts"])
    return PostedAnswer(final, tuple(unfinished))

"""What people wrote in Slack, as plain text for the model, and threads as turns of a conversation."""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from slack_sdk.errors import SlackApiError

from bot.storage import Turn
from bot.tags import split_tag
from handlers.calling import is_passing
from handlers.context import Slack, user_key

log = logging.getLogger(__name__)

ANSWER = "all_in_one_bot_answer"  # event_type of the metadata on the bot's answers
MOST_PAGES = 10
_PAGE = 200

_USER = re.compile(r"<@([A-Z0-9]+)(?:\|([^>]*))?>")
_CHANNEL = re.compile(r"<#([A-Z0-9]+)(?:\|([^>]*))?>")
_SPECIAL = re.compile(r"<!(?:subteam\^)?([A-Za-z0-9]+)(?:\^[^|>]*)?(?:\|([^>]*))?>")
_LINK = re.compile(r"<((?:https?|mailto|tel):[^|>\s]*)(?:\|([^>]*))?>")


async def readable(slack: Slack, text: str) -> str:
    """Slack's markup as text: names for ids, addresses for links, the bot's own mention left out."""
    me = (await slack.identity()).user
    names = {}
    for user in {match[1] for match in _USER.finditer(text)} - {me}:
        names[user] = "@" + (await slack.person(user)).name
    text = _USER.sub(lambda match: names.get(match[1], ""), text)
    text = _CHANNEL.sub(lambda match: "#" + (match[2] or match[1]), text)
    text = _SPECIAL.sub(lambda match: "@" + (match[2] or match[1]).lstrip("@"), text)
    text = _LINK.sub(_address, text)
    return html.unescape(text).strip()


def _address(match: re.Match[str]) -> str:
    url, label = match[1], match[2]
    bare = re.sub(r"^(mailto|tel):", "", url)
    return bare if not label or label in (url, bare) else f"{label} ({bare})"


async def message_text(slack: Slack, message: dict[str, Any]) -> str:
    """A message's text with what it quotes: messages shared into it stand before it, as quotations."""
    if message.get("plain"):  # read already, as commands are
        return str(message["text"])
    parts = []
    for shared in message.get("attachments") or []:
        if shared.get("is_msg_unfurl") or shared.get("is_share") or shared.get("message_blocks"):
            quoted = await readable(slack, str(shared.get("text") or shared.get("fallback") or ""))
            name = shared.get("author_name") or shared.get("author_subname") or ""
            if quoted:
                parts.append("\n".join("> " + line for line in f"{name}: {quoted}".splitlines()))
    parts.append(await readable(slack, str(message.get("text") or "")))
    return "\n".join(part for part in parts if part)


def names_bot(text: str, bot_user: str) -> bool:
    """Whether a message mentions the bot."""
    return any(match[1] == bot_user for match in _USER.finditer(text))


def is_for_someone_else(text: str, bot_user: str) -> bool:
    """Whether a message begins by addressing somebody who is not the bot."""
    match = _USER.match(text.strip())
    return bool(match and match[1] != bot_user and not names_bot(text, bot_user))


async def fetch_thread(
    slack: Slack, channel: str, thread_ts: str, since: str | None = None
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
            if is_passing(problem):
                raise
            log.warning("conversations.replies: %s", problem.response.get("error"))
            break
        known = {message["ts"] for message in messages}
        messages += [message for message in found["messages"] if message["ts"] not in known]
        cursor = (found.get("response_metadata") or {}).get("next_cursor")
        if not cursor:
            break
    return messages


async def thread_turns(slack: Slack, team: str, messages: Iterable[dict[str, Any]]) -> list[Turn]:
    """Messages of a thread as turns. Texts to be classified, and their answers, are no conversation."""
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
        if message.get("bot_id") or message.get("subtype") not in (None, "file_share", "thread_broadcast"):
            continue
        mode, text = split_tag(await message_text(slack, message))
        if text and mode != "emotion" and (user := message.get("user")):
            name = (await slack.person(user)).name
            turns.append(Turn("user", text, name, user_key(team, user), message["ts"], at))
    return turns


def answer_payload(message: dict[str, Any]) -> dict[str, Any]:
    """What the bot noted on one of its answers; {} on other messages."""
    metadata = message.get("metadata") or {}
    return metadata.get("event_payload") or {} if metadata.get("event_type") == ANSWER else {}


def answer_text(message: dict[str, Any]) -> str:
    """The Markdown of one of the bot's messages."""
    texts = [block["text"] for block in message.get("blocks") or [] if block.get("type") == "markdown"]
    return "\n".join(texts) if texts else html.unescape(str(message.get("text") or ""))


@dataclass(frozen=True)
class Posted:
    """What an earlier process had posted of one answer."""

    final: str | None  # ts of the finished answer's last message
    unfinished: tuple[str, ...]  # ts of messages that were being written


NOTHING = Posted(None, ())


def find_answer(
    messages: Sequence[dict[str, Any]], bot: str, key: str, asked: str, noted: str | None
) -> Posted:
    """Look in a thread for the answer to request `key`, which was asked at `asked`.

    A message that was being streamed carries no metadata yet; `noted` is its ts where it was stored.
    One without any is taken for this answer's: replies of a thread are written one at a time.
    """
    final, unfinished = None, []
    for message in messages:
        if message.get("bot_id") != bot or float(message["ts"]) <= float(asked):
            continue
        payload = answer_payload(message)
        if payload.get("request") == key:
            if payload.get("final") and payload.get("last"):
                final = message["ts"]
            else:
                unfinished.append(message["ts"])
        elif message["ts"] == noted or (not payload and message.get("streaming_state") == "in_progress"):
            unfinished.append(message["ts"])
    return Posted(final, tuple(unfinished))

"""What Slack tells the bot becomes stored requests, or nothing. All of it happens before Slack is told."""

from __future__ import annotations

import logging
from typing import Any

from bot.inbox import InboxFull
from bot.storage import Request
from bot.tags import split_tag
from handlers.ask import Ask
from handlers.context import Slack, thread_key, user_key
from handlers.reading import is_for_someone_else, names_bot, thread_turns

log = logging.getLogger(__name__)

# What a stored request keeps of a message: enough to answer it.
_KEPT = ("text", "files", "attachments")
_SPOKEN = (None, "file_share", "thread_broadcast")


async def take_message(slack: Slack, event: dict[str, Any], team: str, surface: str = "") -> None:
    """A message that the bot heard of, in whatever event: a request, part of a thread, or nothing to it."""
    identity = await slack.identity()
    user = event.get("user")
    if not user or event.get("bot_id") or user == identity.user or event.get("subtype") not in _SPOKEN:
        return
    text, channel, ts = str(event.get("text") or ""), event["channel"], event["ts"]
    thread_ts = event.get("thread_ts") or ts
    named = event["type"] == "app_mention" or names_bot(text, identity.user)
    direct = event.get("channel_type") == "im" or channel.startswith("D")
    surface = surface or ("direct" if direct else "mention" if named else "thread")
    message = {key: event[key] for key in _KEPT if event.get(key)}
    message["files"] = [{"id": file.get("id")} for file in event.get("files") or []]
    ask = Ask(team, channel, ts, thread_ts, user, message, surface)
    if surface == "thread":
        kind = await _follows(slack, ask, event)
    else:
        kind = _kind(slack, ask, text)
    if kind is None:
        return
    if not slack.allowed(channel):
        if surface != "thread":
            words = await slack.words(team, user)
            await slack.whisper(channel, user, words("not_here"), event.get("thread_ts"))
        return
    if kind != "maybe":
        await slack.services.storage.join(ask.thread, user_key(team, user))
    await take(slack, ask.request(kind), channel, user, event.get("thread_ts"))


async def take(slack: Slack, request: Request, channel: str, user: str, thread_ts: str | None = None) -> bool:
    """Store a request; when too many wait, say so to the person instead. False when nothing was stored."""
    try:
        return await slack.inbox.accept(request)
    except InboxFull as full:
        if not full.tell:
            return False
        team = request.payload.get("team", "")
        words = await slack.words(str(team), user)
        await slack.whisper(channel, user, words("overloaded"), thread_ts)
        return False


async def take_change(slack: Slack, event: dict[str, Any], team: str) -> None:
    """A message was edited or deleted: the bot's memory of its thread changes with it."""
    before, after = event.get("previous_message") or {}, event.get("message") or {}
    ts = event.get("deleted_ts") or after.get("ts") or before.get("ts")
    if not ts or before.get("bot_id") or after.get("bot_id"):
        return
    thread = thread_key(team, event["channel"], after.get("thread_ts") or before.get("thread_ts") or ts)
    if event["subtype"] == "message_deleted" or after.get("subtype") == "tombstone":
        await slack.services.storage.edit(thread, ts, None)
    elif after.get("text") != before.get("text"):
        turns = await thread_turns(slack, team, [after])
        await slack.services.storage.edit(thread, ts, turns[0].text if turns else None)


def _kind(slack: Slack, ask: Ask, text: str) -> str:
    """Whether a text is to be classified or talked about."""
    identity = slack.known_identity
    bare = text.replace(f"<@{identity.user}>", "") if identity else text
    return "emotion" if split_tag(bare)[0] == "emotion" else "chat"


async def _follows(slack: Slack, ask: Ask, event: dict[str, Any]) -> str | None:
    """What becomes of a channel message without a mention: only replies in the bot's threads count."""
    if ask.thread_ts == ask.ts:
        return None
    identity = await slack.identity()
    storage = slack.services.storage
    known = await storage.thread(ask.thread)
    joined = known is not None and known.joined
    if known is None and event.get("parent_user_id") == identity.user:
        joined = True
    if known is not None and not joined:
        return None
    text = str(event.get("text") or "")
    settings = await storage.settings(user_key(ask.team, ask.user))
    follow = slack.services.settings.thread_follow if settings.follow is None else settings.follow
    if not follow or is_for_someone_else(text, identity.user):
        if joined:
            turns = await thread_turns(slack, ask.team, [event])
            await slack.services.conversations.absorb(ask.thread, turns)
        return None
    return _kind(slack, ask, text) if joined else "maybe"

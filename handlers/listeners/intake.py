"""Events become stored requests, or nothing. All of it happens before the event is acknowledged."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Any

from bot.inbox import InboxFull, Job
from bot.inbox.payloads import Payload, Question, decode_or_explain, encode
from bot.roles import split_tag
from bot.storage import Request
from handlers.formatting.message_markup import body_markup, message_markup
from handlers.formatting.readable import is_for_someone_else, names_bot, without_bot
from handlers.replies.message_text import SPOKEN
from handlers.replies.thread_turns import thread_turns
from handlers.transport.context import SlackContext, message_key, thread_key, user_key

log = logging.getLogger(__name__)

# What a stored request keeps of a message: enough to answer it.
_KEPT = ("text", "blocks", "files", "attachments")
EDIT_SECONDS = 60.0  # how long an edit has an answer that is being written begin anew


async def take_message(slack: SlackContext, event: dict[str, Any], team: str, surface: str = "") -> None:
    """A message, in whatever event: a request, part of a thread, or nothing to the bot."""
    identity = await slack.identity()
    user = event.get("user")
    if event.get("bot_id"):
        await _overhear_app(slack, event, team)
        return
    if not user or user == identity.user or event.get("subtype") not in SPOKEN:
        return
    text, channel, ts = body_markup(event), event["channel"], event["ts"]
    thread_ts = event.get("thread_ts") or ts
    named = event["type"] == "app_mention" or names_bot(text, identity.user)
    direct = event.get("channel_type") == "im" or channel.startswith("D")
    surface = surface or ("direct" if direct else "mention" if named else "thread")
    if event.get("edited") and await _is_past(slack, thread_key(team, channel, thread_ts), float(ts)):
        return  # Slack tells of a mention again whenever its message is edited
    question = Question(team, channel, ts, thread_ts, user, _kept(event), surface)
    if surface == "thread":
        kind = await _follows(slack, question, event)
    else:
        kind = kind_of(text, identity.user)
    if kind is None:
        return
    if not slack.allowed(channel):
        if surface != "thread":
            strings = await slack.strings(team, user)
            await slack.post_ephemeral(channel, user, strings("not_here"), event.get("thread_ts"))
        return
    if kind != "maybe":
        await slack.services.storage.join(thread_key(team, channel, thread_ts), user_key(team, user))
    await take(slack, question_request(kind, question), question, event.get("thread_ts"))


async def _is_past(slack: SlackContext, thread: str, at: float) -> bool:
    """Whether a question of the time `at` is too old to be answered, or its thread was forgotten since."""
    known = await slack.services.storage.thread(thread)
    forgotten = (known.forgotten_at or 0.0) if known else 0.0
    return at < max(forgotten, time.time() - slack.services.settings.answer_within)


def new_request(kind: str, payload: Payload, key: str, thread: str = "") -> Request:
    """The request to store; those of one `thread` keep their order, one without shares it with no other."""
    return Request(key, thread or key, kind, encode(payload), user_key(payload.team, payload.user))


def question_request(kind: str, question: Question) -> Request:
    """The request that a message makes: chat, maybe or emotion."""
    again = f":{question.again}" if question.again else ""
    return new_request(
        kind,
        question,
        message_key(question.team, question.channel, question.ts) + again,
        thread_key(question.team, question.channel, question.thread_ts),
    )


async def take(slack: SlackContext, request: Request, payload: Payload, thread_ts: str | None = None) -> bool:
    """Store a request; when too many wait, say so to the person instead. False when nothing was stored."""
    try:
        return await slack.inbox.accept(request)
    except InboxFull as full:
        if full.tell:
            strings = await slack.strings(payload.team, payload.user)
            channel = payload.channel or payload.user
            await slack.post_ephemeral(channel, payload.user, strings("overloaded"), thread_ts)
        return False


def _kept(message: dict[str, Any]) -> dict[str, Any]:
    """What a stored request keeps of a message."""
    kept = {key: message[key] for key in _KEPT if message.get(key)}
    return {**kept, "files": [{"id": file.get("id")} for file in message.get("files") or []]}


async def take_change(slack: SlackContext, event: dict[str, Any], team: str) -> None:
    """A message was edited or deleted: the bot's memory of it, and an answer that is not finished, follow."""
    before, after = event.get("previous_message") or {}, event.get("message") or {}
    ts = event.get("deleted_ts") or after.get("ts") or before.get("ts")
    if not ts or (await slack.identity()).bot in (before.get("bot_id"), after.get("bot_id")):
        return
    thread = thread_key(team, event["channel"], after.get("thread_ts") or before.get("thread_ts") or ts)
    key = message_key(team, event["channel"], ts)
    changes, storage = slack.inbox.changes, slack.services.storage
    if event["subtype"] == "message_deleted" or after.get("subtype") == "tombstone":
        for job in changes.about(key):
            await changes.withdraw(job)
        slack.inbox.refuse(key)
        await storage.edit(thread, ts, None)
        await storage.drop_finished(thread, key)
    elif message_markup(after) != message_markup(before):  # a preview of a link changes a message, too
        turns = await thread_turns(slack, team, [after])
        await storage.edit(thread, ts, turns[0].text if turns else None)
        soon = float(event.get("event_ts") or event["ts"]) - float(ts) <= EDIT_SECONDS
        for job in changes.about(key):
            await _revise(slack, job, after, anew=soon)
        for request in await storage.finished(thread, key):
            question = decode_or_explain(request.kind, request.payload)
            if isinstance(question, Question):  # what **Try again** asks
                kept = encode(replace(question, message=_kept(after)))
                await storage.revise(replace(request, payload=kept))


async def _revise(slack: SlackContext, job: Job[Any], message: dict[str, Any], *, anew: bool) -> None:
    """Have a question answered as it reads now; an edit that is delivered twice counts once."""
    question = job.payload
    if not isinstance(question, Question) or message_markup(question.message) == message_markup(message):
        return
    kind = job.request.kind
    if kind != "maybe":
        kind = kind_of(body_markup(message), (await slack.identity()).user)
    edited = replace(question, message=_kept(message), edits=question.edits + 1)
    await slack.inbox.changes.revise(job, kind, edited, anew=anew)


async def _overhear_app(slack: SlackContext, event: dict[str, Any], team: str) -> None:
    """What another app says in a thread that the bot is in: remembered, and never answered."""
    if event["bot_id"] == (await slack.identity()).bot or not event.get("thread_ts"):
        return
    thread = thread_key(team, event["channel"], event["thread_ts"])
    known = await slack.services.storage.thread(thread)
    if known is not None and known.joined:
        await slack.services.conversations.absorb(thread, await thread_turns(slack, team, [event]))


def kind_of(text: str, bot_user: str) -> str:
    """Whether a text is to be classified or talked about."""
    return "emotion" if split_tag(without_bot(text, bot_user))[0] == "emotion" else "chat"


async def _follows(slack: SlackContext, question: Question, event: dict[str, Any]) -> str | None:
    """The kind of a channel message without a mention: only replies in the bot's threads count."""
    if question.thread_ts == question.ts:
        return None
    identity = await slack.identity()
    storage = slack.services.storage
    thread = thread_key(question.team, question.channel, question.thread_ts)
    known = await storage.thread(thread)
    joined = known is not None and known.joined
    if known is None and event.get("parent_user_id") == identity.user:
        joined = True
    if known is not None and not joined:
        return None
    text = body_markup(event)
    settings = await storage.settings(user_key(question.team, question.user))
    follow = slack.services.settings.thread_follow if settings.follow is None else settings.follow
    if not follow or is_for_someone_else(text, identity.user):
        if joined:
            turns = await thread_turns(slack, question.team, [event])
            await slack.services.conversations.absorb(thread, turns)
        return None
    return kind_of(text, identity.user) if joined else "maybe"

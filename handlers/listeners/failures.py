"""When something goes wrong on the bot's side, the person who asked is told, once."""

from __future__ import annotations

import logging
from typing import Any

from slack_bolt import BoltResponse
from slack_bolt.async_app import AsyncApp

from bot.inbox import Job
from bot.inbox.payloads import Payload, Question, Undecodable
from bot.storage import StorageError
from handlers.listeners.permissions import Interaction
from handlers.replies.chat_reply import ChatReplies
from handlers.transport.context import SlackContext, message_key
from handlers.transport.slack_errors import is_gone, is_transient

log = logging.getLogger(__name__)


def register(app: AsyncApp, slack: SlackContext, chat_replies: ChatReplies) -> None:
    """Have the inbox say when a request failed, and Bolt when it could not be stored."""

    async def apologise(job: Job[Payload]) -> None:
        payload, channel = job.payload, job.payload.channel
        if isinstance(payload, Undecodable):
            payload = _question(job.request.kind, payload) or payload
            if payload.user and not channel:
                opened = await slack.client.conversations_open(users=payload.user)
                channel = opened["channel"]["id"]
        if isinstance(payload, Question):
            await chat_replies.apologise(job, payload)
        elif channel and payload.user:
            strings = await slack.strings(payload.team, payload.user)
            await slack.post_ephemeral(channel, payload.user, strings("failed"), payload.thread_ts or None)

    slack.inbox.apology, slack.inbox.retract = apologise, chat_replies.retract
    slack.inbox.is_transient, slack.inbox.is_hopeless = is_transient, is_gone

    @app.error
    async def failed(error: Exception, body: dict[str, Any]) -> BoltResponse | None:
        if not isinstance(error, StorageError):
            log.error("an event could not be handled", exc_info=error)
            return None  # it is not acknowledged, so Slack sends it again
        log.error("a request could not be stored: %s", error)
        interaction = Interaction.of(body)
        if interaction is None or not interaction.is_for_bot(slack.known_identity):
            return None
        event = body.get("event") or {}
        if event.get("ts"):  # its other deliveries, and backfill, take it no more
            slack.inbox.refuse(message_key(interaction.team, interaction.channel, event["ts"]))
        if slack.inbox.tell(interaction.user):
            strings = await slack.strings(interaction.team, interaction.user)
            await slack.post_ephemeral(
                interaction.channel, interaction.user, strings("failed"), interaction.thread_ts
            )
        return BoltResponse(status=200)


def _question(kind: str, payload: Undecodable) -> Question | None:
    """What can be read of a question for the bot, so that the apology stands in its thread."""
    thread_ts = payload.thread_ts or payload.ts
    if kind not in ("chat", "emotion") or not payload.channel or not thread_ts:
        return None
    ts = payload.ts or thread_ts
    return Question(payload.team, payload.channel, ts, thread_ts, payload.user, {}, "thread")

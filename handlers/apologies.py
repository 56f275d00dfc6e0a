"""When something goes wrong on the bot's side, the person who asked is told, once."""

from __future__ import annotations

import logging
from typing import Any

from slack_bolt import BoltResponse
from slack_bolt.async_app import AsyncApp

from bot.inbox import Job
from bot.storage import StorageError
from handlers.answering import Answering
from handlers.calling import is_passing
from handlers.context import Slack
from handlers.listened import Heard

log = logging.getLogger(__name__)

IN_THREADS = ("chat", "maybe", "emotion")


def register(app: AsyncApp, slack: Slack, answering: Answering) -> None:
    """Have the inbox say when a request failed, and Bolt when it could not be stored."""

    async def apologise(job: Job) -> None:
        asked = job.request.payload
        if job.request.kind in IN_THREADS:
            await answering.apologise(job)
        elif asked.get("channel"):
            words = await slack.words(asked["team"], asked["user"])
            await slack.whisper(asked["channel"], asked["user"], words("failed"), asked.get("thread_ts"))

    slack.inbox.apology = apologise
    slack.inbox.passing = is_passing

    @app.error
    async def failed(error: Exception, body: dict[str, Any]) -> BoltResponse | None:
        if not isinstance(error, StorageError):
            log.error("an event could not be handled", exc_info=error)
            return None  # it is not acknowledged, so Slack sends it again
        log.error("a request could not be stored: %s", error)
        heard = Heard.of(body)
        if heard is None or not heard.aimed(slack.known_identity):
            return None
        event = body.get("event") or {}
        if event.get("ts"):  # its other deliveries, and whoever reads it later, take it no more
            slack.inbox.refuse(f"message:{heard.team}:{heard.channel}:{event['ts']}")
        if slack.inbox.tell(heard.user):
            words = await slack.words(heard.team, heard.user)
            await slack.whisper(heard.channel, heard.user, words("failed"), heard.thread_ts)
        return BoltResponse(status=200)

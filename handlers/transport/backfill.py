"""Backfill: after a gap the bot reads by the Web API what no event told it."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cachetools import TTLCache
from slack_bolt import BoltResponse
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError

from bot.storage import StorageError
from handlers.formatting.message_markup import body_markup
from handlers.formatting.readable import names_bot
from handlers.transport.context import SlackContext, message_key, thread_key
from handlers.transport.slack_errors import error_code, is_transient
from handlers.transport.thread_history import answer_payload, fetch_thread

log = logging.getLogger(__name__)

DAY = 86_400.0
MOST_CHANNELS, MOST_THREADS = 60, 60  # read after a gap, the ones in use last
MOST_SILENT = 20  # read after a gap in turn: conversations from which no event ever came
MOST_NOTED = 10_000  # channels
KINDS = ("public_channel", "private_channel", "mpim", "im")
NEWEST, ROTATING = 2, 2  # conversations that a sample reads: the newest, and some of the others in turn
SETTLED = 5.0  # seconds after which the event of a message should have come
_PAGE, _PAGES = 100, 10

TakeEvent = Callable[[dict[str, Any], str], Awaitable[None]]
MayUse = Callable[[str, str], Awaitable[bool]]


@dataclass(frozen=True)
class Place:
    """A channel, or with `thread_ts` a thread in it."""

    channel: str
    thread_ts: str = ""


class Backfill:
    """Reads the threads the bot is in, the channels of which events came, and the silent ones it is in.

    take: handles an event of a team. may: whether a person may use the bot; the home team is "" if unknown.
    """

    def __init__(self, slack: SlackContext, take: TakeEvent, may: MayUse) -> None:
        self._slack, self._take_event, self._may_use = slack, take, may
        self._turn = self._silent_turn = 0
        self._noted: TTLCache[str, bool] = TTLCache(MOST_NOTED, DAY)  # by channel

    async def note(self, channel: str) -> None:
        """Remember that events come from this channel; stored once a day."""
        if channel in self._noted:
            return
        team = (await self._slack.identity()).team
        with contextlib.suppress(StorageError):  # the next event's note is as good
            await self._slack.services.storage.set_checkpoint(f"channel:{team}:{channel}", time.time())
            self._noted[channel] = True

    async def read(self, since: float) -> int:
        """Take up what was said to the bot after `since` (seconds since 1970) and of which no event came.

        Nothing older than ANSWER_WITHIN is read: an answer would be too late. How many requests it made.
        """
        earliest = self._slack.client.now() - self._slack.services.settings.answer_within
        channels, threads = await self._places()
        places = [*channels[:MOST_CHANNELS], *threads[:MOST_THREADS]]
        missed = await self._read(places, max(since, earliest), math.inf)
        # Their turn may come long after the gap.
        missed += await self._read(await self._silent(channels), earliest, math.inf)
        if missed:
            log.info("of %d messages no event came; they are answered now", missed)
        return missed

    async def sample(self, since: float) -> int:
        """As `read`, in a few of the conversations: whether events come at all."""
        channels, threads = await self._places()
        places = sorted((*channels, *threads), key=lambda place: place.thread_ts, reverse=True)
        newest, rest = places[:NEWEST], places[NEWEST:]
        if channels and channels[0] not in newest:
            newest.append(channels[0])
        rotating = [rest[(self._turn + n) % len(rest)] for n in range(min(ROTATING, len(rest)))]
        self._turn += ROTATING
        return await self._read([*newest, *rotating], since, self._slack.client.now() - SETTLED)

    async def _places(self) -> tuple[list[Place], list[Place]]:
        storage, team = self._slack.services.storage, (await self._slack.identity()).team
        joined = await storage.joined(f"slack:{team}:", time.time() - 7 * DAY)
        threads = [Place(*key.split(":")[2:4]) for key in joined]
        noted = [Place(channel) for channel in await storage.checkpoints(f"channel:{team}:")]
        channels = list(dict.fromkeys([*noted, *(Place(thread.channel) for thread in threads)]))
        return channels, sorted(threads, key=lambda place: place.thread_ts, reverse=True)

    async def _silent(self, noted: Sequence[Place]) -> list[Place]:
        """Some of the conversations that the bot is in and no event came from; all get their turn."""
        found: list[Place] = []
        cursor: str | None = None
        try:
            for _ in range(_PAGES):
                page = await self._slack.client.users_conversations(
                    types=",".join(KINDS), exclude_archived=True, limit=200, cursor=cursor
                )
                found += [Place(channel["id"]) for channel in page["channels"]]
                cursor = (page.get("response_metadata") or {}).get("next_cursor")
                if not cursor:
                    break
        except SlackApiError as problem:
            if is_transient(problem):
                raise
            # An app made from an older manifest: `doctor` says which scopes it lacks.
            log.info("conversations cannot be listed: %s", error_code(problem))
        silent = sorted({*found} - {*noted}, key=lambda place: place.channel)
        turn, self._silent_turn = self._silent_turn, self._silent_turn + MOST_SILENT
        return [silent[(turn + n) % len(silent)] for n in range(min(MOST_SILENT, len(silent)))]

    async def _read(self, places: Sequence[Place], since: float, until: float) -> int:
        missed = 0
        for place in dict.fromkeys(places):
            try:
                found = await self._messages(place, since)
            except SlackApiError as problem:
                if is_transient(problem):
                    raise
                log.info("%s cannot be read: %s", place.channel, error_code(problem))
                continue
            for message in sorted(found, key=lambda message: float(message["ts"])):
                if since < float(message["ts"]) < until and await self._take(place, message):
                    missed += 1
        return missed

    async def _messages(self, place: Place, since: float) -> list[dict[str, Any]]:
        """What was written there after `since`, and perhaps some of what came before.

        Of a channel, also the threads that go on after `since`, if they began in its newest hundred messages.
        """
        oldest = f"{since:.6f}"
        if place.thread_ts:
            return await fetch_thread(self._slack, place.channel, place.thread_ts, since=oldest)
        messages: list[dict[str, Any]] = []
        cursor: str | None = None
        for _ in range(_PAGES):
            found = await self._slack.client.conversations_history(
                channel=place.channel, limit=_PAGE, cursor=cursor
            )
            messages += found["messages"]
            cursor = (found.get("response_metadata") or {}).get("next_cursor")
            if not cursor or (messages and float(messages[-1]["ts"]) <= since):
                break
        for parent in [m for m in messages if m.get("reply_count")]:
            if float(parent.get("latest_reply") or parent["ts"]) > since:
                messages += (await fetch_thread(self._slack, place.channel, parent["ts"], since=oldest))[1:]
        return messages

    async def _take(self, place: Place, message: dict[str, Any]) -> bool:
        """Handle a message as if its event had come; whether it became a request."""
        identity, storage = await self._slack.identity(), self._slack.services.storage
        user, text = message.get("user"), body_markup(message)
        if not user or message.get("bot_id") or user == identity.user:
            return False
        reply = message.get("thread_ts") not in (None, message["ts"])
        if not (reply or place.channel.startswith("D") or names_bot(text, identity.user)):
            return False
        key = message_key(identity.team, place.channel, message["ts"])
        if await storage.request(key) is not None:
            return False
        if not await self._may_use(user, message.get("user_team") or message.get("team") or ""):
            return False
        thread_ts = message.get("thread_ts") or message["ts"]
        thread = await storage.thread(thread_key(identity.team, place.channel, thread_ts))
        if thread is not None and (thread.forgotten_at or 0.0) > float(message["ts"]):
            return False
        replies = await fetch_thread(self._slack, place.channel, thread_ts, since=message["ts"])
        if any(answer_payload(reply).get("asked") == message["ts"] for reply in replies):
            return False
        event = {**message, "type": "message", "channel": place.channel}
        await self.note(place.channel)
        await self._take_event(event, identity.team)
        return await storage.request(key) is not None


def register(app: AsyncApp, backfill: Backfill) -> None:
    """Note from which channels events come."""

    @app.middleware
    async def note_channel(
        body: dict[str, Any], next: Callable[[], Awaitable[BoltResponse | None]]
    ) -> BoltResponse | None:
        event = body.get("event") or {}
        if event.get("type") in ("message", "app_mention") and isinstance(event.get("channel"), str):
            await backfill.note(event["channel"])
        return await next()

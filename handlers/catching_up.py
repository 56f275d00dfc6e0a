"""Messages that never arrived: after a gap the bot reads for itself what was said to it."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from slack_bolt import BoltResponse
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError

from bot.storage import StorageError
from handlers.asking import take_message
from handlers.calling import is_passing
from handlers.context import Slack, thread_key
from handlers.permissions import Permissions
from handlers.reading import answer_payload, fetch_thread, names_bot

log = logging.getLogger(__name__)

DAY = 86_400.0
MOST_CHANNELS, MOST_THREADS = 60, 60  # read after a gap, the ones in use last
MOST_UNHEARD = 20  # read after a gap in turn: conversations from which nothing ever arrived
KINDS = ("public_channel", "private_channel", "mpim", "im")
NEWEST, ROTATING = 2, 2  # conversations that a sample reads: the newest, and some of the others in turn
SETTLED = 5.0  # seconds after which a message should have been told
_PAGE, _PAGES = 100, 10


@dataclass(frozen=True)
class Place:
    """A channel, or with `thread_ts` a thread in it."""

    channel: str
    thread_ts: str = ""


class CatchingUp:
    """Reads the threads the bot is in, the channels it heard of, and those it is in but never heard."""

    def __init__(self, slack: Slack) -> None:
        self._slack = slack
        self._permissions = Permissions(slack)
        self._turn = self._unheard_turn = 0
        self._noted: dict[str, float] = {}

    async def note(self, channel: str) -> None:
        """Remember that the bot hears of this channel; written down once a day."""
        today = time.time()
        if today - self._noted.get(channel, 0.0) < DAY:
            return
        team = (await self._slack.identity()).team
        with contextlib.suppress(StorageError):  # the next event's note is as good
            await self._slack.services.storage.mark(f"channel:{team}:{channel}", today)
            self._noted[channel] = today

    async def read(self, since: float) -> int:
        """Take up what was said to the bot after `since` (seconds since 1970) and never arrived.

        Nothing older than ANSWER_WITHIN is read: an answer would be too late. How many requests it made.
        """
        earliest = self._slack.client.now() - self._slack.services.settings.answer_within
        channels, threads = await self._places()
        places = [*channels[:MOST_CHANNELS], *threads[:MOST_THREADS]]
        missed = await self._read(places, max(since, earliest), math.inf)
        # Their turn may come long after the gap.
        missed += await self._read(await self._unheard(channels), earliest, math.inf)
        if missed:
            log.info("%d messages had not arrived and are answered now", missed)
        return missed

    async def sample(self, since: float) -> int:
        """As `read`, in a few of the conversations: whether Slack tells the bot what happens."""
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
        heard = [Place(channel) for channel in await storage.marks(f"channel:{team}:")]
        channels = list(dict.fromkeys([*heard, *(Place(thread.channel) for thread in threads)]))
        return channels, sorted(threads, key=lambda place: place.thread_ts, reverse=True)

    async def _unheard(self, heard: Sequence[Place]) -> list[Place]:
        """Some of the conversations that the bot is in and heard nothing of; all get their turn."""
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
            if is_passing(problem):
                raise
            # An app made from an older manifest: `doctor` says which scopes it lacks.
            log.info("conversations cannot be listed: %s", problem.response.get("error"))
        unheard = sorted({*found} - {*heard}, key=lambda place: place.channel)
        turn, self._unheard_turn = self._unheard_turn, self._unheard_turn + MOST_UNHEARD
        return [unheard[(turn + n) % len(unheard)] for n in range(min(MOST_UNHEARD, len(unheard)))]

    async def _read(self, places: Sequence[Place], since: float, until: float) -> int:
        missed = 0
        for place in dict.fromkeys(places):
            try:
                found = await self._messages(place, since)
            except SlackApiError as problem:
                if is_passing(problem):
                    raise
                log.info("%s cannot be read: %s", place.channel, problem.response.get("error"))
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
        """Give a message to the handlers, as if it had arrived; whether it became a request."""
        identity, storage = await self._slack.identity(), self._slack.services.storage
        user, text = message.get("user"), str(message.get("text") or "")
        if not user or message.get("bot_id") or user == identity.user:
            return False
        reply = message.get("thread_ts") not in (None, message["ts"])
        if not (reply or place.channel.startswith("D") or names_bot(text, identity.user)):
            return False
        key = f"message:{identity.team}:{place.channel}:{message['ts']}"
        if await storage.request(key) is not None:
            return False
        if not await self._permissions.may(user, message.get("user_team") or message.get("team") or ""):
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
        await take_message(self._slack, event, identity.team)
        return await storage.request(key) is not None


def register(app: AsyncApp, slack: Slack) -> CatchingUp:
    """Note in which channels the bot is heard of."""
    catching_up = CatchingUp(slack)

    @app.middleware
    async def heard_of(
        body: dict[str, Any], next: Callable[[], Awaitable[BoltResponse | None]]
    ) -> BoltResponse | None:
        event = body.get("event") or {}
        if event.get("type") in ("message", "app_mention") and isinstance(event.get("channel"), str):
            await catching_up.note(event["channel"])
        return await next()

    return catching_up

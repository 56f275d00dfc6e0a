"""The connection to Slack: opened, watched, replaced before it is missed, and closed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from aiohttp import ClientError
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError

from bot.app import retry
from bot.storage import StorageError
from handlers.transport.backfill import Backfill
from handlers.transport.context import SlackContext
from handlers.transport.slack_errors import SlackRefused, error_code, is_transient
from handlers.transport.socket import Socket

log = logging.getLogger(__name__)

PATIENCE = 20.0  # seconds without a sign of life until a socket counts as dead
TICK = 2.0  # seconds between two looks at the socket
QUIET = 30.0  # seconds without an event until it is looked up whether there was one
SWEEP = 300.0  # seconds between two full backfills, for what was missed without a sign
OVERLAP = 10.0  # seconds for which a replaced socket still takes envelopes
MARGIN = 15.0  # seconds before the last backfill that are read once more
LINGERING = 60.0  # seconds for which Slack may still count a connection that has ended here

_UNREACHABLE = (SlackApiError, ClientError, OSError, asyncio.TimeoutError)


class SlackConnection:
    """One app's connection. Requests that an earlier process left open are answered once it stands."""

    def __init__(self, app: AsyncApp, slack: SlackContext, backfill: Backfill, app_token: str) -> None:
        self._app, self._slack, self._backfill, self._app_token = app, slack, backfill, app_token
        self._socket: Socket | None = None
        self._retired: set[asyncio.Task[None]] = set()
        self._left: list[float] = []  # when this process left each of its earlier sockets, monotonic
        self._shared = False  # another process has a connection with the same app token
        self._tasks: list[asyncio.Task[None]] = []
        self._nudged = asyncio.Event()
        self._checkpoint = ""  # the name under which the time of the last backfill is stored
        self._read_until = 0.0  # that time, by Slack's clock
        self._behind = False  # something may have been missed since
        self._reading: asyncio.Task[None] | None = None
        self._failed_reads = 0
        self._events_missing = False  # a message was found of which no event came
        self._sampled = 0.0
        self._swept = time.monotonic()
        self.reconnects = 0

    @property
    def connected(self) -> bool:
        """Whether a socket stands that receives."""
        return self._socket is not None and self._socket.is_alive(PATIENCE)

    async def start(self) -> None:
        """Connect, and try again while the network or Slack is out of order. Raises SlackRefused."""
        attempt = 0
        while True:
            try:
                return await self._connect()
            except _UNREACHABLE as problem:
                if not is_transient(problem):
                    raise SlackRefused(error_code(problem)) from None
                log.warning("Slack cannot be reached (%s); it is tried again", error_code(problem))
            await asyncio.sleep(retry.pause(attempt))
            attempt += 1

    async def _connect(self) -> None:
        slack = self._slack
        self._checkpoint = f"read:{(await slack.identity()).team}"
        known = await slack.services.storage.checkpoint(self._checkpoint)
        self._behind = known is not None
        self._read_until = slack.client.now() if known is None else known
        if known is None:
            await slack.services.storage.set_checkpoint(self._checkpoint, self._read_until)
        self._socket = await self._open()
        if count := await slack.inbox.start():
            log.info("%d requests were left open and are answered now", count)
        self._tasks = [asyncio.ensure_future(self._watch())]

    async def stop(self) -> None:
        """Take nothing new, finish what is running, disconnect."""
        tasks = [*self._tasks, *self._retired, *([self._reading] if self._reading else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        socket, self._socket = self._socket, None
        # Side by side, or a half-open socket takes the time of the answers that still run.
        closing = [socket.end(patience=2.0)] if socket is not None else []
        await asyncio.gather(self._slack.inbox.stop(), *closing)

    async def _open(self) -> Socket:
        socket = Socket(self._app, self._app_token, self._nudged.set)
        await socket.open()
        self._compare_connections(socket.counted)
        return socket

    def _compare_connections(self, counted: int) -> None:
        """Warn once where Slack counts connections that are not this process's."""
        now = time.monotonic()
        self._left = [at for at in self._left if now - at < OVERLAP + LINGERING]
        mine = 1 + (self._socket is not None) + len(self._left)
        shared = counted > mine
        if shared and not self._shared:
            log.warning(
                "Slack counts %d connections with this SLACK_APP_TOKEN, and at most %d are this bot's: "
                "another bot uses the token too, and each hears only a part of what is said. Stop the other "
                "one, or make it an app of its own (python -m bot manifest)",
                counted,
                mine,
            )
        self._shared = shared

    async def _watch(self) -> None:
        """Replace the socket when it must be, and read what was missed meanwhile. Runs until cancelled."""
        while True:
            try:
                await self._check()
            except (*_UNREACHABLE, StorageError) as problem:
                log.warning("watching Slack: %s", problem or type(problem).__name__)
            except Exception:  # without the watch the bot would miss everything unnoticed
                log.exception("watching Slack")
            self._nudged.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._nudged.wait(), TICK)

    async def _check(self) -> None:
        socket, now = self._socket, time.monotonic()
        if socket is None or self._events_missing or socket.leaving or not socket.is_alive(PATIENCE):
            await self._replace(socket)
            return
        if self._reading is None or self._reading.done():
            if self._behind or now - self._swept > SWEEP:
                self._swept = now
                self._reading = asyncio.ensure_future(self._read_missed())
            elif now - max(socket.last_message, self._sampled) > QUIET:
                self._sampled = now
                self._reading = asyncio.ensure_future(self._sample())

    async def _read_missed(self) -> None:
        """Read what was missed since the last backfill; one that fails is made again."""
        slack, self._behind = self._slack, False
        now = slack.client.now()
        try:
            await self._backfill.read(min(self._read_until, now) - MARGIN)
            self._read_until = now
            await slack.services.storage.set_checkpoint(self._checkpoint, now)
            self._failed_reads = 0
        except (*_UNREACHABLE, StorageError) as problem:
            log.warning("what was missed cannot be read yet: %s", problem or type(problem).__name__)
            await asyncio.sleep(retry.pause(self._failed_reads, TICK))
            self._failed_reads += 1
            self._behind = True

    async def _sample(self) -> None:
        """Slack may take events for delivered that never came: look whether there are any."""
        try:
            missed = await self._backfill.sample(self._slack.client.now() - 2 * QUIET - MARGIN)
        except (*_UNREACHABLE, StorageError) as problem:
            log.warning("Slack cannot be looked through: %s", problem or type(problem).__name__)
            return
        if missed:
            log.warning("of %d messages no event came; the socket is replaced", missed)
            self._events_missing = self._behind = True
            self._nudged.set()

    async def _replace(self, old: Socket | None) -> None:
        """Open another socket, however long it takes; the old one stays open until it stands."""
        if old is not None and not old.is_alive(PATIENCE):
            log.warning("the socket to Slack is dead; connecting again")
        attempt = 0
        while True:
            try:
                self._socket = await self._open()
                break
            except _UNREACHABLE as problem:
                log.warning("Slack cannot be reached: %s", problem or type(problem).__name__)
                self._behind = True
            await asyncio.sleep(retry.pause(attempt))
            attempt += 1
        self.reconnects += 1
        self._events_missing = False
        log.info("a new socket to Slack stands")
        if old is not None:
            self._left.append(time.monotonic())
            alive = old.is_alive(PATIENCE)
            self._behind = self._behind or not alive
            retiring = asyncio.ensure_future(self._retire(old, OVERLAP if alive else 0.0))
            self._retired.add(retiring)
            retiring.add_done_callback(self._retired.discard)

    async def _retire(self, socket: Socket, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        finally:
            await socket.end(patience=2.0)

"""The connection to Slack: opened, watched, replaced before it is missed, and closed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from aiohttp import ClientError
from slack_sdk.errors import SlackApiError

from bot.storage import StorageError
from config.settings import Settings
from handlers.app import BotApp
from handlers.socket import Socket

log = logging.getLogger(__name__)

PATIENCE = 20.0  # seconds without a sign of life until a socket counts as dead
TICK = 2.0  # seconds between two looks at the socket
QUIET = 30.0  # seconds without an event until it is looked up whether there was one
SWEEP = 300.0  # seconds between two readings of everything, for what was missed without a sign
OVERLAP = 10.0  # seconds for which a replaced socket is still listened to
MARGIN = 15.0  # seconds before what was read last that are read once more
PAUSES = (1.0, 2.0, 5.0, 10.0, 30.0)


class SlackConnection:
    """One app's connection. Requests that an earlier process left open are answered once it stands."""

    def __init__(self, app: BotApp, settings: Settings) -> None:
        self._app, self._settings = app, settings
        self._socket: Socket | None = None
        self._retired: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._nudged = asyncio.Event()
        self._catching_up = app.catching_up
        self._read_until = 0.0  # Slack's time; whatever was said before is known
        self._behind = False  # something may have been missed since
        self._reading: asyncio.Task[None] | None = None
        self._deaf = False  # a message was found that Slack should have told
        self._looked = 0.0
        self._swept = time.monotonic()
        self.reconnects = 0

    @property
    def connected(self) -> bool:
        """Whether a socket stands over which Slack is heard."""
        return self._socket is not None and self._socket.hears(PATIENCE)

    async def start(self) -> None:
        """Connect. Raises SlackApiError where Slack refuses the tokens."""
        identity = await self._app.slack.identity()
        self._mark = f"read:{identity.team}"
        known = await self._app.slack.services.storage.marked(self._mark)
        self._behind = known is not None
        self._read_until = self._app.slack.client.now() if known is None else known
        if known is None:
            await self._app.slack.services.storage.mark(self._mark, self._read_until)
        self._socket = await self._open()
        if count := await self._app.slack.inbox.start():
            log.info("%d requests were left open and are answered now", count)
        self._tasks = [asyncio.ensure_future(self._watch())]

    async def stop(self) -> None:
        """Hear nothing new, finish what is running, disconnect."""
        tasks = [*self._tasks, *self._retired, *([self._reading] if self._reading else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        socket, self._socket = self._socket, None
        # Side by side, or a socket that says no goodbye takes the time of the answers that still run.
        closing = [socket.end(patience=2.0)] if socket is not None else []
        await asyncio.gather(self._app.slack.inbox.stop(), *closing)

    async def _open(self) -> Socket:
        socket = Socket(self._app, self._settings.slack_app_token, self._nudged.set)
        await socket.open()
        return socket

    async def _watch(self) -> None:
        """Replace the socket when it must be, and read what was missed meanwhile. Runs until cancelled."""
        while True:
            try:
                await self._look()
            except (SlackApiError, ClientError, OSError, asyncio.TimeoutError, StorageError) as problem:
                log.warning("watching Slack: %s", problem or type(problem).__name__)
            except Exception:  # the watch goes on whatever happens, or the bot is deaf without noticing
                log.exception("watching Slack")
            self._nudged.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._nudged.wait(), TICK)

    async def _look(self) -> None:
        socket, now = self._socket, time.monotonic()
        if socket is None or self._deaf or socket.leaving or not socket.hears(PATIENCE):
            await self._replace(socket)
            return
        if self._reading is None or self._reading.done():
            if self._behind or now - self._swept > SWEEP:
                self._swept = now
                self._reading = asyncio.ensure_future(self._catch_up())
            elif now - max(socket.told, self._looked) > QUIET:
                self._looked = now
                self._reading = asyncio.ensure_future(self._sample())

    async def _catch_up(self) -> None:
        """Read what was missed since the last reading; one that fails is made again."""
        slack, self._behind = self._app.slack, False
        now = slack.client.now()
        try:
            await self._catching_up.read(min(self._read_until, now) - MARGIN)
            self._read_until = now
            await slack.services.storage.mark(self._mark, now)
        except (SlackApiError, ClientError, OSError, asyncio.TimeoutError, StorageError) as problem:
            log.warning("what was missed cannot be read yet: %s", problem or type(problem).__name__)
            await asyncio.sleep(TICK)
            self._behind = True

    async def _sample(self) -> None:
        """Slack may think that it told the bot everything: look whether it did."""
        try:
            missed = await self._catching_up.sample(self._app.slack.client.now() - 2 * QUIET - MARGIN)
        except (SlackApiError, ClientError, OSError, asyncio.TimeoutError, StorageError) as problem:
            log.warning("Slack cannot be looked through: %s", problem or type(problem).__name__)
            return
        if missed:
            log.warning("%d messages were not told by Slack; the socket is replaced", missed)
            self._deaf = self._behind = True
            self._nudged.set()

    async def _replace(self, old: Socket | None) -> None:
        """Open another socket, however long it takes; the old one is listened to until it stands."""
        if old is not None and not old.hears(PATIENCE):
            log.warning("Slack is not heard any more; connecting again")
        attempt = 0
        while True:
            try:
                self._socket = await self._open()
                break
            except (SlackApiError, ClientError, OSError, asyncio.TimeoutError) as problem:
                log.warning("Slack cannot be reached: %s", problem or type(problem).__name__)
                self._behind = True
            await asyncio.sleep(PAUSES[min(attempt, len(PAUSES) - 1)])
            attempt += 1
        self.reconnects += 1
        self._deaf = False
        log.info("a new socket to Slack stands")
        if old is not None:
            lives = old.hears(PATIENCE)
            self._behind = self._behind or not lives
            retiring = asyncio.ensure_future(self._retire(old, OVERLAP if lives else 0.0))
            self._retired.add(retiring)
            retiring.add_done_callback(self._retired.discard)

    async def _retire(self, socket: Socket, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        finally:
            await socket.end(patience=2.0)

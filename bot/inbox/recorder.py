"""The states of requests, stored; what the database does not take now is stored once it does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from bot.app import retry
from bot.storage import Storage, StorageError

log = logging.getLogger(__name__)

LONGEST_PAUSE = 5.0  # seconds between two tries
LAST_SECONDS = 1.0  # for the last try


class Recorder:
    """Writes the states of requests. None of its methods raises."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._kept: dict[str, Callable[[], Awaitable[None]]] = {}  # the newest of each request
        self._repairing: asyncio.Task[None] | None = None

    async def record(
        self, key: str, state: str, answer_ts: str | None = None, problem: str | None = None
    ) -> None:
        """Carry a request to its next state."""
        await self._write(key, partial(self._storage.advance, key, state, answer_ts, problem))

    async def withdraw(self, key: str) -> None:
        """Delete a request that turned out to be none, or whose answer was taken back."""
        await self._write(key, partial(self._storage.withdraw, key))

    async def close(self) -> None:
        """Write what was kept, in one last try."""
        if self._repairing is not None:
            self._repairing.cancel()
            self._repairing = None
        with contextlib.suppress(asyncio.TimeoutError):  # the next start takes up what is still open
            await asyncio.wait_for(self._repair(), LAST_SECONDS)

    async def _write(self, key: str, write: Callable[[], Awaitable[None]]) -> None:
        try:
            await write()
            self._kept.pop(key, None)
        except StorageError as problem:
            log.error("request %s: its state is kept in memory: %s", key, problem)
            self._kept[key] = write
            if self._repairing is None or self._repairing.done():
                self._repairing = asyncio.ensure_future(self._keep_repairing())

    async def _keep_repairing(self) -> None:
        attempt = 0
        while self._kept:
            await asyncio.sleep(retry.pause(attempt, LONGEST_PAUSE))
            await self._repair()
            attempt += 1

    async def _repair(self) -> None:
        with contextlib.suppress(StorageError):
            for key, write in list(self._kept.items()):
                await write()
                if self._kept.get(key) is write:
                    del self._kept[key]

"""Draws an answer from the model while Slack is waited for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from bot.engine import EngineBusy

BUSY_SECONDS = 120.0  # how long a full queue of the engine is tried again


class Pump:
    """Draws an answer from the model while the writer waits for its next call."""

    def __init__(self, begin: Callable[[], AsyncIterator[str]]) -> None:
        self._pieces: list[str] = []
        self._fresh = asyncio.Event()
        self._begin = begin
        self._task = asyncio.ensure_future(self._run())

    @property
    def over(self) -> bool:
        """Whether nothing more comes and all was taken."""
        return self._task.done() and not self._pieces

    async def _run(self) -> None:
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                async for piece in self._begin():
                    self._pieces.append(piece)
                    self._fresh.set()
                return
            except EngineBusy as busy:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(busy.retry_after)

    async def more(self, stopping: asyncio.Future[Any], timeout: float | None) -> None:
        """Wait for a piece, the end, `stopping`, or until `timeout`."""
        if self._pieces and timeout is None:
            return
        fresh = asyncio.ensure_future(self._fresh.wait())
        awaited: set[asyncio.Future[Any]] = {self._task, stopping}
        if timeout is None:
            awaited.add(fresh)
        try:
            await asyncio.wait(awaited, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            fresh.cancel()

    def take(self) -> list[str]:
        """The pieces that came."""
        pieces, self._pieces = self._pieces, []
        self._fresh.clear()
        return pieces

    def check(self) -> None:
        """Raise what ended the answer, if it was an error."""
        if self._task.done() and not self._task.cancelled():
            self._task.result()

    async def cancel(self) -> None:
        """End the answer; what was said so far is stored by the conversation."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

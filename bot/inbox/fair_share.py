"""Fair shares: how much of the queue one person or channel may have, and who of those that wait goes next."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(eq=False)
class _Waiter:
    user: str
    place: str
    turn: asyncio.Future[None]


class FairGate:
    """Lets `size` through at once. Of those that wait, the one whose user, then whose place (a channel),
    has the fewest inside goes next; among equals the one that came first."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._inside: Counter[tuple[str, str]] = Counter()
        self._waiters: list[_Waiter] = []

    @property
    def full(self) -> bool:
        """Whether the next one must wait."""
        return self._free == 0 or bool(self._waiters)

    @asynccontextmanager
    async def passed(self, user: str, place: str) -> AsyncIterator[None]:
        """Inside while the block runs."""
        if self.full:
            waiter = _Waiter(user, place, asyncio.get_running_loop().create_future())
            self._waiters.append(waiter)
            try:
                await waiter.turn
            except asyncio.CancelledError:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
                else:  # its turn had come already
                    self._leave(user, place)
                raise
        else:
            self._enter(user, place)
        try:
            yield
        finally:
            self._leave(user, place)

    def _enter(self, user: str, place: str) -> None:
        self._free -= 1
        self._inside.update((("user", user), ("place", place)))

    def _leave(self, user: str, place: str) -> None:
        self._free += 1
        for key in (("user", user), ("place", place)):
            self._inside[key] -= 1
            if not self._inside[key]:
                del self._inside[key]
        if self._waiters:
            chosen = min(
                self._waiters, key=lambda w: (self._inside["user", w.user], self._inside["place", w.place])
            )
            self._waiters.remove(chosen)
            self._enter(chosen.user, chosen.place)
            chosen.turn.set_result(None)


def exceeds_share(user: str, channel: str, unfinished: Sequence[tuple[str, str]], most: int) -> bool:
    """Whether one request more of this person in this channel is too many beside the `unfinished` ones.

    unfinished: person and channel of each. most: how many there may be; one person may have a quarter of
    that and one channel half, but four each in any case.
    """
    users, channels = Counter(user for user, _ in unfinished), Counter(channel for _, channel in unfinished)
    return (
        len(unfinished) >= most or users[user] >= max(4, most // 4) or channels[channel] >= max(4, most // 2)
    )

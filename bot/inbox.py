"""Every accepted request is stored before it is acknowledged, and answered once, in its thread's order.

A request goes from `received` to `answering` to `answered` or `failed`. What was open when the
process ended is taken up again at the next start; the answerer is then told that it is `resumed`,
and looks in Slack for what it may have posted already.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from bot.storage import Request, Storage

log = logging.getLogger(__name__)

REPLIES = 4  # answered side by side: as many as the engine decodes together
QUICK = 16  # of those that take milliseconds

Answer = Callable[["Job"], Awaitable[None]]


class InboxFull(Exception):
    """Too many requests are waiting; nothing was stored."""


@dataclass
class Job:
    """One request on its way to an answer."""

    request: Request
    reloaded: bool = False  # a process before this one accepted it
    resumed: bool = False  # and had begun with it
    dropped: bool = False  # set by the answerer: it was no request after all
    place: int = 0  # how many are ahead of it; 0 once it is being answered
    stop: asyncio.Event = field(default_factory=asyncio.Event)  # set when a person wants no more of it
    posted: str | None = None  # the ts of the message that holds the answer

    @property
    def key(self) -> str:
        """The request's unique key."""
        return self.request.key

    def late(self, seconds: float) -> bool:
        """Whether it waited through a stop of the bot and is older than `seconds`."""
        return self.reloaded and time.time() - self.request.received_at > seconds


@dataclass(frozen=True)
class _Kind:
    answer: Answer
    waiting: Answer | None
    quick: bool


class Inbox:
    """Accepts, orders and answers requests. `register` every kind before `start`."""

    def __init__(self, storage: Storage, most: int = 64) -> None:
        self._storage, self._most = storage, most
        self._kinds: dict[str, _Kind] = {}
        self._threads: dict[str, deque[Job]] = {}
        self._jobs: dict[str, Job] = {}  # all that are not finished, in the order they came
        self._tasks: dict[str, asyncio.Task[None]] = {}  # one a thread that has requests
        self._replies, self._quick = asyncio.Semaphore(REPLIES), asyncio.Semaphore(QUICK)
        self._closing = False
        self._running: set[str] = set()

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._jobs) - len(self._running)

    @property
    def running(self) -> int:
        """How many requests are being answered."""
        return len(self._running)

    def register(
        self, kind: str, answer: Answer, *, waiting: Answer | None = None, quick: bool = False
    ) -> None:
        """Say who answers requests of `kind`.

        waiting: told when the request has to wait, with its `place` set.
        quick: takes milliseconds and does not wait behind replies.
        """
        self._kinds[kind] = _Kind(answer, waiting, quick)

    async def accept(self, request: Request) -> bool:
        """Store a request and have it answered. False when it was accepted before.

        Raises InboxFull when too many wait; then nothing was stored.
        """
        if request.key in self._jobs:
            return False
        if len(self._jobs) >= self._most:
            raise InboxFull
        if not await self._storage.accept(request):
            return False
        if not self._closing:  # otherwise the next start takes it up
            self._enqueue(Job(request))
        return True

    async def start(self) -> int:
        """Take up what an earlier process left open; how many requests that were."""
        self._closing = False
        open_requests = [r for r in await self._storage.unfinished() if r.key not in self._jobs]
        for request in open_requests:
            if request.kind in self._kinds:
                begun = request.state == "answering"
                self._enqueue(Job(request, reloaded=True, resumed=begun, posted=request.answer_ts))
            else:
                await self._storage.advance(request.key, "failed", problem="no such kind of request any more")
        return len(open_requests)

    async def stop(self, grace: float = 12.0) -> None:
        """Begin nothing new, give running answers `grace` seconds, leave the rest stored as open."""
        self._closing = True
        running = {self._jobs[key].request.thread for key in self._running}
        for thread, task in self._tasks.items():
            if thread not in running:
                task.cancel()
        tasks = list(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=grace)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._jobs.clear()
        self._threads.clear()
        self._tasks.clear()

    def job(self, key: str) -> Job | None:
        """The unfinished job of this key."""
        return self._jobs.get(key)

    def is_running(self, key: str) -> bool:
        """Whether the request is being answered right now."""
        return key in self._running

    async def note_posted(self, job: Job, ts: str) -> None:
        """Record the message that is becoming the answer."""
        job.posted = ts
        await self._storage.advance(job.key, "answering", answer_ts=ts)

    def _enqueue(self, job: Job) -> None:
        self._jobs[job.key] = job
        queue = self._threads.setdefault(job.request.thread, deque())
        queue.append(job)
        if len(queue) == 1:
            self._tasks[job.request.thread] = asyncio.ensure_future(self._work(job.request.thread))

    async def _work(self, thread: str) -> None:
        """Answer one thread's requests in their order."""
        queue = self._threads[thread]
        try:
            while queue:
                job = queue[0]
                kind = self._kinds[job.request.kind]
                gate = self._quick if kind.quick else self._replies
                if gate.locked() and kind.waiting is not None:
                    job.place = self._ahead(job) + 1
                    await self._tell(kind.waiting, job)
                async with gate:
                    if self._closing:
                        return
                    job.place = 0
                    await self._answer(kind, job)
                queue.popleft()
                self._jobs.pop(job.key, None)
        finally:
            if not queue:
                self._threads.pop(thread, None)
                self._tasks.pop(thread, None)

    async def _answer(self, kind: _Kind, job: Job) -> None:
        self._running.add(job.key)
        try:
            await self._storage.advance(job.key, "answering")
            await kind.answer(job)
            if job.dropped:
                await self._storage.withdraw(job.key)
            else:
                await self._storage.advance(job.key, "answered", answer_ts=job.posted)
        except Exception as problem:  # whatever it was, the next request must be answered
            log.exception("request %s failed", job.key)
            await self._storage.advance(job.key, "failed", problem=f"{type(problem).__name__}: {problem}")
        finally:
            self._running.discard(job.key)

    async def _tell(self, waiting: Answer, job: Job) -> None:
        try:
            await waiting(job)
        except Exception:  # a notice that fails must not cost the answer
            log.exception("could not say that request %s waits", job.key)

    def _ahead(self, job: Job) -> int:
        """How many slow requests came before this one and still wait."""
        ahead = 0
        for key, other in self._jobs.items():
            if key == job.key:
                break
            if key not in self._running and not self._kinds[other.request.kind].quick:
                ahead += 1
        return ahead

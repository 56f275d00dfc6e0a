"""Every accepted request is stored before it is acknowledged, and answered once, in its thread's order.

A request goes from `received` to `answering` to `answered` or `failed`. What was open when the
process ended is taken up again at the next start; the answerer is then told that it is `resumed`,
and looks in Slack for what it may have posted already.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from bot import metrics
from bot.fairness import Gate
from bot.jobs import InboxFull, Job
from bot.logs import request_id
from bot.recording import Recorder
from bot.storage import Request, Storage, StorageError

log = logging.getLogger(__name__)

REPLIES = 4  # answered side by side: as many as the engine decodes together
QUICK = 16  # of those that take milliseconds
NOTICE_SECONDS = 60.0  # a person is told at most this often that a request was not taken
MOST_TOLD = 10_000  # people and refused requests that are remembered
PAUSES = (1.0, 3.0, 10.0, 30.0, 60.0)  # seconds until an answer that could not be delivered is tried again
ATTEMPTS = 120  # of them; with the pauses above some two hours

Answer = Callable[[Job], Awaitable[None]]

__all__ = ["Answer", "Inbox", "InboxFull", "Job"]


@dataclass(frozen=True)
class _Kind:
    answer: Answer
    waiting: Answer | None
    quick: bool


class Inbox:
    """Accepts, orders and answers requests. `register` every kind before `start`.

    most: how many may be unfinished; one person may have a quarter of that and one channel half.
    apology: says to the person that the request of a job failed; one that raises is tried again.
    passing: whether a problem goes away by itself, so that the request is tried again.
    """

    def __init__(self, storage: Storage, most: int = 64) -> None:
        self._storage, self._most = storage, most
        self.apology: Answer | None = None
        self.passing: Callable[[Exception], bool] = lambda problem: False
        self.outcomes: Counter[str] = Counter()  # answered, failed, dropped, refused
        self._kinds: dict[str, _Kind] = {}
        self._threads: dict[str, deque[Job]] = {}
        self._jobs: dict[str, Job] = {}  # all that are not finished, in the order they came
        self._tasks: dict[str, asyncio.Task[None]] = {}  # one a thread that has requests
        self._replies, self._quick = Gate(REPLIES), Gate(QUICK)
        self._closing = False
        self._running: set[str] = set()
        self._accepting: dict[str, asyncio.Task[bool]] = {}
        self._entering: dict[str, Job] = {}  # those that are being stored
        self._told: dict[str, float] = {}  # people, and when (monotonic)
        self._refused: dict[str, None] = {}
        self._recorder = Recorder(storage)
        self._done = asyncio.Event()  # set whenever a request is finished

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

    async def accept(self, request: Request, *, follows: bool = False) -> bool:
        """Store a request and have it answered. False when it was accepted, or refused, before.

        follows: it is a part of one that was accepted, and is taken however many wait.
        Raises InboxFull when too many wait and StorageError when it cannot be stored; then nothing was.
        """
        key = request.key
        if key in self._jobs or key in self._refused:
            return False
        if key in self._accepting:  # the same thing in another event, at the same moment
            await asyncio.wait((self._accepting[key],))
            return False
        if not follows and self._too_many(request):
            self.refuse(key)
            self.outcomes["refused"] += 1
            with contextlib.suppress(StorageError):  # its key alone, so that no later process takes it
                await self._storage.accept(replace(request, state="refused", payload={}))
            metrics.finished("slack", "refused")
            raise InboxFull(self.tell(request.user or ""))
        self._entering[key] = job = Job(request)
        storing = self._accepting[key] = asyncio.ensure_future(self._storage.accept(request))
        try:
            stored = await asyncio.shield(storing)
        except StorageError:
            self.refuse(key)
            raise
        finally:
            del self._accepting[key], self._entering[key]
        if stored and not self._closing:  # otherwise the next start takes it up
            self._enqueue(job)
        return stored

    def refuse(self, key: str) -> None:
        """Never take this request, in whatever delivery: its person is told that it was not taken."""
        self._refused[key] = None
        while len(self._refused) > MOST_TOLD:
            self._refused.pop(next(iter(self._refused)))

    def tell(self, user: str) -> bool:
        """Whether a person should be told that something was not taken: once in NOTICE_SECONDS."""
        now = time.monotonic()
        if now - self._told.get(user, -NOTICE_SECONDS) < NOTICE_SECONDS:
            return False
        self._told.pop(user, None)
        self._told[user] = now
        while len(self._told) > MOST_TOLD:
            self._told.pop(next(iter(self._told)))
        return True

    async def start(self) -> int:
        """Take up what an earlier process left open; how many requests that were."""
        self._closing = False
        open_requests = [r for r in await self._storage.unfinished() if r.key not in self._jobs]
        for request in open_requests:
            if request.kind in self._kinds:
                age = max(0.0, time.time() - request.received_at)
                self._enqueue(Job(request, age=age, resumed=True, posted=request.answer_ts))
            else:
                await self._recorder.record(request.key, "failed", problem="no such kind of request any more")
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
        await self._recorder.close()

    def job(self, key: str) -> Job | None:
        """The unfinished job of this key."""
        return self._jobs.get(key)

    def is_running(self, key: str) -> bool:
        """Whether the request is being answered right now."""
        return key in self._running

    async def earlier_done(self, job: Job) -> None:
        """Wait until everything that the same person asked before `job` is finished."""
        while True:
            keys = list(self._jobs)
            before = keys[: keys.index(job.key)] if job.key in keys else keys
            if not any(self._jobs[key].user == job.user for key in before):
                return
            self._done.clear()
            await self._done.wait()

    async def note_posted(self, job: Job, ts: str) -> None:
        """Record the message that is becoming the answer."""
        job.posted = ts
        await self._recorder.record(job.key, "answering", answer_ts=ts)

    def _too_many(self, request: Request) -> bool:
        job, jobs = Job(request), [*self._jobs.values(), *self._entering.values()]
        return (
            len(jobs) >= self._most
            or sum(other.user == job.user for other in jobs) >= max(4, self._most // 4)
            or sum(other.channel == job.channel for other in jobs) >= max(4, self._most // 2)
        )

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
            while queue and await self._finish(queue[0]):
                self._jobs.pop(queue.popleft().key, None)
                self._done.set()
        finally:
            if not queue:
                self._threads.pop(thread, None)
                self._tasks.pop(thread, None)

    async def _finish(self, job: Job) -> bool:
        """Answer one request, again where it could not be delivered. False when the inbox closes first."""
        kind = self._kinds[job.request.kind]
        gate = self._quick if kind.quick else self._replies
        for attempt in range(ATTEMPTS):
            if gate.full and kind.waiting is not None:
                job.place = self._ahead(job) + 1
                await self._tell_place(kind.waiting, job)
            async with gate.passed(job.user, job.channel):
                if self._closing:
                    return False
                job.place = 0
                if await self._attempt(kind, job):
                    return True
            await asyncio.sleep(PAUSES[min(attempt, len(PAUSES) - 1)])
            job.resumed = True
        await self._recorder.record(job.key, "failed", problem="its answer could not be delivered")
        return True

    async def _attempt(self, kind: _Kind, job: Job) -> bool:
        """Have a request answered, or an apology said; False when neither could be delivered."""
        self._running.add(job.key)
        request_id.set(job.key)
        outcome, problem = "answered", None
        try:
            try:
                await self._storage.advance(job.key, "answering")
                await kind.answer(job)
            except Exception as failure:  # whatever it was, the next request must be answered
                if self.passing(failure):
                    log.warning("request %s is tried again: %s", job.key, type(failure).__name__)
                    return False
                log.exception("request %s failed", job.key)
                job.resumed = True
                if not await self._apologised(job):
                    return False
                outcome, problem = "failed", f"{type(failure).__name__}: {failure}"
            if job.dropped:
                outcome = "dropped"
                await self._recorder.withdraw(job.key)
            else:
                await self._recorder.record(job.key, outcome, answer_ts=job.posted, problem=problem)
        finally:
            self._running.discard(job.key)
        self.outcomes[outcome] += 1
        metrics.finished("slack", outcome, job.age + time.monotonic() - job.since)
        return True

    async def _apologised(self, job: Job) -> bool:
        try:
            if self.apology is not None:
                await self.apology(job)
        except Exception:
            log.exception("request %s: the apology could not be delivered", job.key)
            return False
        return True

    async def _tell_place(self, waiting: Answer, job: Job) -> None:
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

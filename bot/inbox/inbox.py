"""Every accepted request is stored before it is acknowledged, and answered once, in its thread's order.

A request goes from `received` to `answering` to `answered` or `failed`; one whose message is deleted before
becomes `withdrawn`, until its answer is taken back. What was open when the process ended is taken up again
at the next start; its job is then `resumed`, and the answerer looks in Slack for what it may have posted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from cachetools import LRUCache, TTLCache

from bot.app import metrics, retry
from bot.app.logs import request_id
from bot.inbox.changes import Changes
from bot.inbox.fair_share import FairGate, exceeds_share
from bot.inbox.job import InboxFull, Job
from bot.inbox.payloads import (
    Undecodable,
    UndecodablePayload,
    decode,
    decode_or_explain,
    undecodable,
)
from bot.inbox.recorder import Recorder
from bot.storage import Request, Storage, StorageError

log = logging.getLogger(__name__)

REPLIES = 4  # answered side by side: as many as the engine decodes together
QUICK = 16  # of those that take milliseconds
NOTICE_SECONDS = 60.0  # a person is told at most this often that a request was not taken
MOST_TOLD = 10_000  # people and refused requests that are remembered
ATTEMPTS, LONGEST_PAUSE = 165, 60.0  # tries to deliver an answer and seconds between them: some two hours

Answer: TypeAlias = Callable[[Job[Any]], Awaitable[None]]


@dataclass(frozen=True)
class _Kind:
    answer: Answer
    waiting: Answer | None
    quick: bool


async def _fail(job: Job[Undecodable]) -> None:
    raise UndecodablePayload(job.payload.reason)


_UNDECODABLE = _Kind(_fail, None, quick=True)


class Inbox:
    """Accepts, orders and answers requests. `register` every kind before `start`.

    most: how many may be unfinished; one person may have a quarter of that and one channel half.
    apology: says to the person that the request of a job failed.
    retract: takes back what was answered of a job whose message was deleted.
    is_transient: whether a problem goes away by itself, so that the request, or the apology, is tried again.
    is_hopeless: whether nobody can be told of a problem: the request ends without an apology.
    """

    def __init__(self, storage: Storage, most: int = 64) -> None:
        self._storage, self._most = storage, most
        self.apology: Answer | None = None
        self.retract: Answer | None = None
        self.is_transient: Callable[[Exception], bool] = lambda problem: False
        self.is_hopeless: Callable[[Exception], bool] = lambda problem: False
        self.outcomes: Counter[str] = Counter()  # answered, failed, dropped, refused
        self._kinds: dict[str, _Kind] = {}
        self._threads: dict[str, deque[Job[Any]]] = {}
        self._jobs: dict[str, Job[Any]] = {}  # all that are not finished, in the order they came
        self._tasks: dict[str, asyncio.Task[None]] = {}  # one a thread that has requests
        self._replies, self._quick = FairGate(REPLIES), FairGate(QUICK)
        self._closing = False
        self._running: set[str] = set()
        self._accepting: dict[str, asyncio.Task[bool]] = {}
        self._entering: dict[str, Job[Any]] = {}  # those that are being stored
        self._told: TTLCache[str, bool] = TTLCache(MOST_TOLD, NOTICE_SECONDS)  # by person
        self._refused: LRUCache[str, bool] = LRUCache(MOST_TOLD)  # by the request's key
        self._recorder = Recorder(storage)
        self.changes = Changes(self._jobs, self._running, storage, self._recorder)
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

        waiting: called when the request has to wait, with its `place` set.
        quick: takes milliseconds and does not wait behind replies.
        """
        self._kinds[kind] = _Kind(answer, waiting, quick)

    async def accept(self, request: Request, *, follows: bool = False) -> bool:
        """Store a request and have it answered. False when it was accepted, or refused, before.

        follows: it is a part of one that was accepted, and is taken however many wait.
        Raises InboxFull when too many wait, StorageError when it cannot be stored, and UndecodablePayload
        for a payload that could not be read again; then nothing was stored.
        """
        request = replace(request, received_at=request.received_at or time.time())
        key, job = request.key, Job(request, decode(request.kind, request.payload))
        if key in self._jobs or key in self._refused:
            return False
        if key in self._accepting:  # the same thing in another event, at the same moment
            await asyncio.wait((self._accepting[key],))
            return False
        if not follows and self._too_many(job):
            self.refuse(key)
            self.outcomes["refused"] += 1
            with contextlib.suppress(StorageError):  # its key alone, so that no later process takes it
                await self._storage.accept(replace(request, state="refused", payload={}))
            metrics.finished("slack", "refused")
            raise InboxFull(self.tell(request.user or ""))
        self._entering[key] = job
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
        self._refused[key] = True

    def tell(self, user: str) -> bool:
        """Whether a person should be told that something was not taken: once in NOTICE_SECONDS."""
        if user in self._told:
            return False
        self._told[user] = True
        return True

    async def start(self) -> int:
        """Take up what an earlier process left open; how many requests that were."""
        self._closing = False
        open_requests = [r for r in await self._storage.unfinished() if r.key not in self._jobs]
        for request in open_requests:
            payload = decode_or_explain(request.kind, request.payload)
            if request.kind not in self._kinds and not isinstance(payload, Undecodable):
                payload = undecodable(request.payload, f"kind {request.kind!r} is not answered any more")
            age = max(0.0, time.time() - request.received_at)
            job = Job(request, payload, age=age, resumed=True, posted=request.answer_ts)
            job.withdrawn = request.state == "withdrawn"
            self._enqueue(job)
        return len(open_requests)

    async def stop(self, grace: float = 12.0, last_words: float = 3.0) -> None:
        """Begin nothing new, give running answers `grace` seconds, leave the rest stored as open.

        last_words: the last seconds of these, for which an answerer that is cancelled may go on, to say so.
        """
        self._closing = True
        running = {self._jobs[key].request.thread for key in self._running}
        for thread, task in self._tasks.items():
            if thread not in running:
                task.cancel()
        tasks = list(self._tasks.values())
        for seconds in (grace - last_words, last_words):
            if tasks:
                await asyncio.wait(tasks, timeout=seconds)
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._jobs.clear()
        self._threads.clear()
        self._tasks.clear()
        await self._recorder.close()

    def job(self, key: str) -> Job[Any] | None:
        """The unfinished job of this key."""
        return self._jobs.get(key)

    async def earlier_done(self, job: Job[Any]) -> None:
        """Wait until everything that the same person asked before `job` is finished."""
        while True:
            keys = list(self._jobs)
            before = keys[: keys.index(job.key)] if job.key in keys else keys
            if not any(self._jobs[key].user == job.user for key in before):
                return
            self._done.clear()
            await self._done.wait()

    async def note_posted(self, job: Job[Any], ts: str) -> None:
        """Record the message that is becoming the answer."""
        job.posted = ts
        await self._recorder.record(job.key, "answering", answer_ts=ts)

    def _too_many(self, job: Job[Any]) -> bool:
        unfinished = [(each.user, each.channel) for each in (*self._jobs.values(), *self._entering.values())]
        return exceeds_share(job.user, job.channel, unfinished, self._most)

    def _enqueue(self, job: Job[Any]) -> None:
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

    async def _finish(self, job: Job[Any]) -> bool:
        """Answer one request, again where it could not be delivered. False when the inbox closes first."""
        kind = self._kind(job)
        gate = self._quick if kind.quick else self._replies
        for attempt in range(ATTEMPTS):
            if gate.full and kind.waiting is not None:
                job.place = self._ahead(job) + 1
                await self._tell_place(kind.waiting, job)
            async with gate.passed(job.user, job.channel):
                if self._closing:
                    return False
                job.place = 0
                if await self._attempt(job):
                    return True
            await asyncio.sleep(retry.pause(attempt, LONGEST_PAUSE))
            job.resumed = True
        await self._recorder.record(job.key, "failed", problem="its answer could not be delivered")
        return True

    def _kind(self, job: Job[Any]) -> _Kind:
        return _UNDECODABLE if isinstance(job.payload, Undecodable) else self._kinds[job.request.kind]

    async def _attempt(self, job: Job[Any]) -> bool:
        """Have a request answered, or an apology said; False when neither could be delivered."""
        self._running.add(job.key)
        request_id.set(job.key)
        outcome, problem = "answered", None
        try:
            try:
                await self._storage.advance(job.key, "answering")
                await self._answer(job)
            except Exception as failure:  # whatever it was, the next request must be answered
                if self.is_transient(failure):
                    log.warning("request %s is tried again: %s", job.key, type(failure).__name__)
                    return False
                if job.withdrawn or self.is_hopeless(failure):
                    log.warning("request %s cannot be answered any more: %s", job.key, failure)
                else:
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

    async def _answer(self, job: Job[Any]) -> None:
        """Have it answered, anew where its message was edited meanwhile; taken back where it was deleted."""
        while not job.withdrawn:
            if job.outdated:
                job.outdated, job.resumed = False, True
                job.stop.clear()
            try:
                await self._kind(job).answer(job)
            except Exception:
                if not job.outdated:
                    raise
            if not job.outdated:
                return
        self.refuse(job.key)
        job.dropped = True
        if self.retract is not None:
            await self.retract(job)

    async def _apologised(self, job: Job[Any]) -> bool:
        try:
            if self.apology is not None:
                await self.apology(job)
        except Exception as failure:
            log.exception("request %s: the apology could not be delivered", job.key)
            return not self.is_transient(failure)
        return True

    async def _tell_place(self, waiting: Answer, job: Job[Any]) -> None:
        try:
            await waiting(job)
        except Exception:  # a notice that fails must not cost the answer
            log.exception("could not say that request %s waits", job.key)

    def _ahead(self, job: Job[Any]) -> int:
        """How many slow requests came before this one and still wait."""
        ahead = 0
        for key, other in self._jobs.items():
            if key == job.key:
                break
            if key not in self._running and not self._kind(other).quick:
                ahead += 1
        return ahead

"""One thread owns the model and decides what goes through it next.

Labels to score go first, then prompts to read, then answers to go on with; one pass holds as much of it
as fits. Requests join and leave between passes. Nobody starves: scoring gets at most SCORE_SHARE times
the time of the passes in between, and each of those carries every answer one token further.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from bot.engine import failing, passes
from bot.engine.decoder import Decoder
from bot.engine.interface import EngineBusy, EngineError
from bot.engine.kv_cache import KVCache
from bot.engine.prefix_store import PrefixStore
from bot.engine.requests import Reading, Request, Score, Stream
from bot.engine.workload import MAX_STREAMS, Workload

_Part = TypeVar("_Part", tuple[Score, KVCache], tuple[Stream | Reading, int])
log = logging.getLogger(__name__)

SCORE_SHARE = 4.0
SCORES_A_PLACE = 8  # scores that may wait in a stream's place in the queue: they are that much shorter


class Scheduler:
    """Requests go in; their callbacks are called from its thread. Public methods may be called from any."""

    def __init__(self, decoder: Decoder, store: PrefixStore, max_queue: int, running_bytes: int) -> None:
        """`max_queue`: how many answers may wait for a place. `running_bytes`: see Workload."""
        self._decoder, self._store, self._max_queue = decoder, store, max_queue
        self._work = Workload(decoder, store, running_bytes)
        self._wake = threading.Condition()
        self._incoming: list[Request] = []
        self._calls: deque[Callable[[], None]] = deque()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._scored = 0.0  # seconds of scoring since the last other pass
        self._other = 0.0  # seconds of the last other pass
        self._answer_seconds = 1.0  # of late, for a guess at when the queue has room

    def submit(self, *requests: Request) -> None:
        """Take up requests, all or none. Raises EngineBusy for a full queue, EngineError once closed."""
        with self._wake:
            self._check_open()
            free = MAX_STREAMS - self._work.busy  # places of those that need not wait
            for kind, places in (
                (Stream, self._max_queue + free),
                (Score, self._max_queue * SCORES_A_PLACE),
            ):
                new = sum(isinstance(each, kind) for each in requests)
                waiting = (*self._incoming, *self._work.waiting, *self._work.scores)
                old = sum(isinstance(each, kind) and not each.cancelled for each in waiting)
                if new and old + new > places:
                    raise EngineBusy(max(1.0, self._answer_seconds / MAX_STREAMS))
            self._incoming += requests
            self._rouse()

    def cancel(self, request: Request) -> None:
        """Drop a request before the next pass."""
        with self._wake:
            request.cancelled = True
            self._wake.notify()

    def forget(self, session: str | None, done: Callable[[], None]) -> None:
        """Drop what is kept of a conversation (None: of all), then call `done` from the engine's thread."""

        def drop() -> None:
            self._work.forget(session)
            done()

        with self._wake:
            self._check_open()
            self._calls.append(drop)
            self._rouse()

    def close(self) -> None:
        """Fail all requests and end the thread; returns when it has ended, or after some seconds."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join(5.0)

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError("the engine is closed")

    def _rouse(self) -> None:
        """Wake the thread, or start one where there is none or it died."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
            self._thread.start()
        self._wake.notify()

    def _run(self) -> None:
        self._decoder.enter_thread()
        try:
            while self._wait():
                try:
                    self._step()
                except Exception as problem:
                    log.exception("the engine drops all work and starts afresh")
                    self._fail_all(failing.explained(problem))
            self._fail_all(EngineError("the engine is closed"))
        except BaseException as problem:
            self._fail_all(
                EngineError(f"the engine's thread ended ({type(problem).__name__}); ask again"), ending=True
            )
            raise

    def _wait(self) -> bool:
        """Take up what came, waiting while there is nothing to do; false when it is time to end."""
        with self._wake:
            while not (self._closed or self._incoming or self._calls) and self._work.empty:
                self._wake.wait()
            for request in self._incoming:
                self._work.add(request)
            self._incoming = []
            return not self._closed

    def _fail_all(self, problem: EngineError, ending: bool = False) -> None:
        with self._wake:
            if ending:  # the next request starts another thread
                self._thread = None
            lost = [*self._incoming, *self._work.requests()]
            self._incoming = []
            self._work.clear()
            self._store.clear()
        for request in lost:
            with suppress(Exception):  # the others must be told all the same
                request.finish(problem)
        self._do_calls()

    def _step(self) -> None:
        """One pass."""
        self._do_calls()
        self._work.drop_cancelled()
        self._work.admit()
        scores, start = self._work.next_scores(), time.perf_counter()
        if scores and (not self._work.writing or self._scored <= SCORE_SHARE * self._other):
            self._attempt(scores, self._score)
            self._scored += time.perf_counter() - start
        elif self._work.writing:
            self._attempt(self._work.next_writing(), self._write)
            self._scored, self._other = 0.0, time.perf_counter() - start

    def _do_calls(self) -> None:
        while self._calls:
            self._calls.popleft()()

    def _attempt(self, work: list[_Part], run: Callable[[list[_Part]], None]) -> None:
        """Run a pass; where it fails, each part alone, so that only the one at fault is refused."""
        try:
            run(work)
        except Exception as problem:
            log.warning("a pass through the model failed: %s: %s", type(problem).__name__, problem)
            if failing.out_of_memory(problem):
                self._store.forget(None)
            elif len(work) == 1:
                self._fail(work[0][0], failing.explained(problem))
                return
            for part in work:
                try:
                    run([part])
                except Exception as again:
                    self._fail(part[0], failing.explained(again))

    def _score(self, work: list[tuple[Score, KVCache]]) -> None:
        broken = passes.score(self._decoder, work)
        for request, _ in work:
            if request in broken:
                self._store.unpin(request.prefix)  # in case the fault is in there
                self._fail(request, failing.no_numbers())
            else:
                self._work.remove(request)
                request.finish()

    def _write(self, work: list[tuple[Stream | Reading, int]]) -> None:
        tokens, broken = passes.write(self._decoder, work)
        for each in broken:
            self._fail(each, failing.no_numbers())
        for each, _ in work:
            if isinstance(each, Reading) and not each.left and each not in broken:
                self._work.finish_reading(each)
        for stream, token in tokens.items():
            try:
                self._go_on(stream, token)
            except Exception as problem:
                self._fail(stream, failing.explained(problem))

    def _go_on(self, stream: Stream, token: int) -> None:
        """Take a stream's next token; the last one is not read by the model any more."""
        ended = token in stream.ends
        if not ended:
            stream.sampler.note(token)
            stream.written += 1
            stream.token = token
            ended = not stream.said(token) or stream.written >= stream.limit
        if ended:
            self._answer_seconds += 0.2 * (time.monotonic() - stream.asked - self._answer_seconds)
            self._work.remove(stream)
            stream.finish()

    def _fail(self, each: Request | Reading, problem: EngineError) -> None:
        """Refuse a request, or all that wait for a prefix that cannot be read; their caches are dropped."""
        lost: list[Request]
        if isinstance(each, Request):
            lost = [each]
        elif each.by is not None:
            lost = [each.by]
        else:
            self._work.readings = [reading for reading in self._work.readings if reading is not each]
            lost = [request for request in self._work.requests() if request.prefix == each.tokens]
        for request in lost:
            self._work.drop(request)
            request.finish(problem)

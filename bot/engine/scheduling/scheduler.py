"""One thread owns the model and decides what goes through it next.

A pass scores texts, or it holds a decode step of every answer and as many tokens of prefills as fit beside
it. Requests join and leave between passes (continuous batching). Scoring goes first while it is short: when
it took more time than the other passes since, they are next, so that much of it takes turns with them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from bot.engine.cache.kv_cache import KVCache
from bot.engine.cache.prefix_cache import PrefixCache
from bot.engine.errors import EngineBusy, EngineError, as_engine_error, is_out_of_memory, not_finite
from bot.engine.model.decoder import Decoder
from bot.engine.scheduling import passes
from bot.engine.scheduling.requests import Prefill, Request, Score, Stream
from bot.engine.scheduling.workload import Workload

_Part = TypeVar("_Part", tuple[Score, KVCache], tuple[Stream | Prefill, int])
log = logging.getLogger(__name__)

MAX_STREAMS = 8  # answers generated at once
SCORES_A_PLACE = 8  # scores that may wait in one answer's place in the queue: they are that much shorter


class Scheduler:
    """Requests go in; their callbacks are called from its thread. Public methods may be called from any."""

    def __init__(self, decoder: Decoder, prefixes: PrefixCache, max_queue: int, running_bytes: int) -> None:
        """`max_queue`: how many answers may wait for a place. `running_bytes`: see Workload."""
        self._decoder, self._prefixes, self._max_queue = decoder, prefixes, max_queue
        self._work = Workload(decoder, prefixes, MAX_STREAMS, running_bytes)
        self._wake = threading.Condition()
        self._incoming: list[Request] = []
        self._calls: deque[Callable[[], None]] = deque()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._scoring_lead = 0.0  # seconds that the other passes have still to get after scoring
        self._answer_seconds = 1.0  # of late, for a guess at when the queue has room

    def submit(self, *requests: Request) -> None:
        """Take up requests, all or none. Raises EngineBusy for a full queue, EngineError once closed."""
        with self._wake:
            self._check_open()
            free = MAX_STREAMS - self._work.running  # places of those that need not wait
            for request_type, places in (
                (Stream, self._max_queue + free),
                (Score, self._max_queue * SCORES_A_PLACE),
            ):
                new = sum(isinstance(each, request_type) for each in requests)
                waiting = (*self._incoming, *self._work.waiting, *self._work.scores)
                old = sum(isinstance(each, request_type) and not each.cancelled for each in waiting)
                if new and old + new > places:
                    raise EngineBusy(max(1.0, self._answer_seconds / MAX_STREAMS))
            self._incoming += requests
            self._wake_thread()

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
            self._wake_thread()

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

    def _wake_thread(self) -> None:
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
                    self._fail_all(as_engine_error(problem))
            self._fail_all(EngineError("the engine is closed"))
        except BaseException as problem:
            self._fail_all(
                EngineError(f"the engine's thread ended ({type(problem).__name__}); ask again"), ending=True
            )
            raise

    def _wait(self) -> bool:
        """Take in what arrived, waiting while there is nothing to do; False once closed."""
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
            self._prefixes.clear()
        for request in lost:
            with suppress(Exception):  # the others must be told all the same
                request.finish(problem)
        self._do_calls()

    def _step(self) -> None:
        """One pass."""
        self._do_calls()
        self._work.drop_cancelled()
        self._work.admit()
        scores, others_wait = self._work.next_scores(), self._work.has_generation
        start = time.perf_counter()
        if scores and not (others_wait and self._scoring_lead > 0):
            self._attempt(scores, self._score)
            self._scoring_lead = time.perf_counter() - start if others_wait else 0.0
        elif others_wait:
            self._attempt(self._work.next_generation(), self._generate)
            self._scoring_lead -= time.perf_counter() - start

    def _do_calls(self) -> None:
        while self._calls:
            self._calls.popleft()()

    def _attempt(self, work: list[_Part], run: Callable[[list[_Part]], None]) -> None:
        """Run a pass; where it fails, each part alone, so that only the one at fault is failed."""
        try:
            run(work)
        except Exception as problem:
            log.warning("a pass through the model failed: %s: %s", type(problem).__name__, problem)
            if is_out_of_memory(problem):
                self._prefixes.forget(None)
            elif len(work) == 1:
                self._fail(work[0][0], as_engine_error(problem))
                return
            for part in work:
                try:
                    run([part])
                except Exception as again:
                    self._fail(part[0], as_engine_error(again))

    def _score(self, work: list[tuple[Score, KVCache]]) -> None:
        broken = passes.score(self._decoder, work)
        for request, cache in work:
            if request in broken and len(work) > 1:
                # Texts that share a cache are branches of one tree, where a weight of 0 keeps no NaN away.
                self._attempt([(request, cache)], self._score)
            elif request in broken:
                self._fail_not_finite(request)
            else:
                self._work.remove(request)
                request.finish()

    def _generate(self, work: list[tuple[Stream | Prefill, int]]) -> None:
        tokens, broken = passes.generate(self._decoder, work)
        for each in broken:
            self._fail_not_finite(each)
        for each, _ in work:
            if isinstance(each, Prefill) and not each.remaining and each not in broken:
                self._work.finish_prefill(each)
        for stream, token in tokens.items():
            try:
                self._append_token(stream, token)
            except Exception as problem:
                self._fail(stream, as_engine_error(problem))

    def _append_token(self, stream: Stream, token: int) -> None:
        """Take an answer's next token; no keys and values are computed of its last one."""
        ended = token in stream.eos_token_ids
        if not ended:
            stream.sampler.observe(token)
            stream.generated += 1
            stream.token = token
            ended = not stream.on_token(token) or stream.generated >= stream.max_tokens
        if ended:
            self._answer_seconds += 0.2 * (time.monotonic() - stream.arrived - self._answer_seconds)
            self._work.remove(stream)
            stream.finish()

    def _fail_not_finite(self, each: Request | Prefill) -> None:
        """Fail what came out as NaN or infinity; all that is kept goes, in case the fault is in there."""
        self._prefixes.clear()
        self._fail(each, not_finite())

    def _fail(self, each: Request | Prefill, problem: EngineError) -> None:
        """Fail a request, or all that wait for a prefix that cannot be computed; drop their KV caches."""
        lost: list[Request]
        if isinstance(each, Request):
            lost = [each]
        elif each.request is not None:
            lost = [each.request]
        else:
            self._work.prefills = [prefill for prefill in self._work.prefills if prefill is not each]
            lost = [request for request in self._work.requests() if request.prefix == each.tokens]
        for request in lost:
            self._work.drop(request)
            request.finish(problem)

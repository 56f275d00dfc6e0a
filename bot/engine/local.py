"""The engine of this project: the two methods over a decoder, a scheduler and kept caches."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bot.engine.allocation import large_blocks_returned
from bot.engine.decoder import Decoder
from bot.engine.decoders import open_decoder
from bot.engine.detokenizer import Detokenizer
from bot.engine.encoding import Encoder, common
from bot.engine.interface import EngineError, Prompt, PromptTooLong, Sampling
from bot.engine.prefix_store import PrefixStore
from bot.engine.requests import Score, Stream
from bot.engine.sampling import Sampler, read_defaults
from bot.engine.scheduler import Scheduler
from bot.engine.shape import read_shape

MEGABYTE = 1_000_000
# Shorter prompts are encoded at once; longer ones in a thread, where they do not hold the event loop up.
_AT_ONCE = 2000
# Answers in work may take this many times the memory of the caches that are only kept.
_RUNNING = 4


class LocalEngine:
    """One model directory on this processor. Its methods may be used from any number of tasks and loops."""

    def __init__(
        self,
        directory: Path,
        *,
        precision: str = "auto",
        threads: int = 0,
        context_tokens: int = 4096,
        cache_mb: int = 128,
        max_queue: int = 64,
    ) -> None:
        """Blocking: it reads the weights. cache_mb: megabytes for what is kept between requests.

        Raises EngineError for a directory that cannot be used.
        """
        self.encoder = Encoder(directory, read_shape(directory).vocabulary)
        self.decoder = _opened(directory, precision, threads)
        self.defaults = read_defaults(directory)
        self.ends = frozenset(self.encoder.end_tokens | self.defaults.ends)
        self._name = directory.resolve().name
        self._context = min(context_tokens, self.decoder.shape.positions)
        self._store = PrefixStore(cache_mb * MEGABYTE)
        self.scheduler = Scheduler(
            self.decoder,
            self._store,
            max_queue,
            running_bytes=max(64, cache_mb) * MEGABYTE * _RUNNING,
        )
        self._arrived: dict[asyncio.AbstractEventLoop, list[tuple[Score, asyncio.Future[None]]]] = {}

    @property
    def name(self) -> str:
        """The directory's name."""
        return self._name

    @property
    def context_tokens(self) -> int:
        """How many tokens prompt and answer may have together."""
        return self._context

    def count(self, prompt: Prompt) -> int:
        """How many tokens `prompt` has, with the template's own."""
        return len(self.encoder.encode(prompt))

    async def score(self, prompt: Prompt, labels: Sequence[str], *, relative: bool = False) -> list[float]:
        """See Engine.score."""
        loop = asyncio.get_running_loop()
        ids, shared = await self._tokens(prompt)
        tokens = [self.encoder.encode_text(label) for label in labels]
        if not tokens or not all(tokens):
            raise EngineError("there must be labels, and none of them empty")
        longest = max(map(len, tokens)) - 1
        if len(ids) + longest > self._context:
            raise PromptTooLong(len(ids), self._context - longest)
        answer: asyncio.Future[None] = loop.create_future()

        def done(problem: Exception | None) -> None:
            _tell(loop, _settle, answer, problem)

        request = Score(ids=ids, shared=shared, done=done, labels=tokens, relative=relative)
        self._submit_together(loop, request, answer)
        try:
            await answer
        finally:
            self.scheduler.cancel(request)
        return request.scores

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[str]:
        """See Engine.stream."""
        loop = asyncio.get_running_loop()
        ids, shared = await self._tokens(prompt)
        if len(ids) + 1 > self._context:
            raise PromptTooLong(len(ids), self._context - 1)
        text = Detokenizer(self.encoder, sampling.stop)
        pieces: asyncio.Queue[str | Exception | None] = asyncio.Queue()

        def said(token: int) -> bool:
            if piece := text.push(token):
                _tell(loop, pieces.put_nowait, piece)
            return not text.stopped

        def done(problem: Exception | None) -> None:
            if problem is None and (rest := text.flush()):
                _tell(loop, pieces.put_nowait, rest)
            _tell(loop, pieces.put_nowait, problem)

        request = Stream(
            ids=ids,
            shared=shared,
            done=done,
            sampler=Sampler(sampling, self.defaults, ids),
            said=said,
            limit=min(sampling.max_tokens, self._context - len(ids)),
            ends=self.ends,
            session=prompt.session,
        )
        self.scheduler.submit(request)
        try:
            while (piece := await pieces.get()) is not None:
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            self.scheduler.cancel(request)

    async def forget(self, session: str | None = None) -> None:
        """See Engine.forget."""
        loop = asyncio.get_running_loop()
        forgotten: asyncio.Future[None] = loop.create_future()
        self.scheduler.forget(session, lambda: _tell(loop, _settle, forgotten, None))
        await forgotten

    async def close(self) -> None:
        """See Engine.close."""
        await asyncio.to_thread(self.scheduler.close)

    async def _tokens(self, prompt: Prompt) -> tuple[list[int], int]:
        """The prompt's ids, and how many of them every prompt of its role begins with."""
        if sum(len(message.content) for message in prompt.messages) <= _AT_ONCE:
            return self._encode(prompt)
        return await asyncio.to_thread(self._encode, prompt)

    def _encode(self, prompt: Prompt) -> tuple[list[int], int]:
        ids = self.encoder.encode(prompt)
        return ids, common(self.encoder.encode_shared(prompt), ids[:-1])

    def _submit_together(
        self, loop: asyncio.AbstractEventLoop, request: Score, answer: asyncio.Future[None]
    ) -> None:
        """Hand over what one turn of the event loop brings as one, so that it shares a pass."""
        if loop in self._arrived:
            self._arrived[loop].append((request, answer))
            return
        self._arrived[loop] = [(request, answer)]
        loop.call_soon(self._hand_over, loop)

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        arrived = self._arrived.pop(loop)
        try:
            self.scheduler.submit(*(request for request, _ in arrived))
        except EngineError as problem:
            if len(arrived) == 1:
                _settle(arrived[0][1], problem)
                return
            for each in arrived:  # the queue has room for some of them
                self._arrived[loop] = [each]
                self._hand_over(loop)


def _settle(future: asyncio.Future[None], problem: Exception | None) -> None:
    if future.done():  # nobody waits any more
        return
    if problem is None:
        future.set_result(None)
    else:
        future.set_exception(problem)


def _tell(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *arguments: object) -> None:
    """Call `function` on the loop; who has closed it does not want to know any more."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *arguments)


def _opened(directory: Path, precision: str, threads: int) -> Decoder:
    """The decoder, opened in a thread that ends.

    OpenMP, which torch computes with, keeps workers for each thread that used any. Where they are more than
    the processor's cores they sleep between products, and waking them took a third of the engine's time.
    """
    with large_blocks_returned(), ThreadPoolExecutor(1, "opening") as thread:
        return thread.submit(open_decoder, directory, precision, threads).result()

"""The engine of this project: the two methods over a decoder, a scheduler and a prefix cache."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence

from bot.engine.cache.kv_cache import SEGMENT, KVCache
from bot.engine.cache.prefix_cache import PrefixCache
from bot.engine.config.arrays import common_prefix
from bot.engine.errors import EngineError, PromptTooLong
from bot.engine.interface import CutOff, Prompt, Sampling, is_long
from bot.engine.model.decoder import Decoder
from bot.engine.scheduling.requests import Score, Stream
from bot.engine.scheduling.scheduler import Scheduler
from bot.engine.text.chat_template import ChatTokenizer
from bot.engine.text.detokenizer import Detokenizer
from bot.engine.text.sampling import GenerationDefaults, Sampler
from bot.engine.text.thoughts import ThoughtFilter
from bot.engine.weights.prepared_prefixes import PreparedPrefixes

MEGABYTE = 1_000_000
# KV caches of running answers may take this many times the memory of those that are only kept.
_RUNNING = 4


class LocalEngine:
    """One model on this processor. Its methods may be used from any number of tasks and loops."""

    def __init__(
        self,
        name: str,
        defaults: GenerationDefaults,
        decoder: Decoder,
        tokenizer: ChatTokenizer,
        *,
        context_tokens: int = 4096,
        cache_mb: int = 128,
        max_queue: int = 64,
        prepared: PreparedPrefixes | None = None,
    ) -> None:
        """All of one model, see `factory.open_local`. cache_mb: megabytes of kept keys and values."""
        self.decoder = decoder
        self.tokenizer = tokenizer
        self.defaults = defaults
        self.eos_token_ids = frozenset(self.tokenizer.eos_token_ids | self.defaults.eos_token_ids)
        self._name = name
        self._context = min(context_tokens, decoder.config.max_position_embeddings)
        self._prepared = prepared
        self.prefixes = PrefixCache(cache_mb * MEGABYTE, self._load_prefix)
        self.scheduler = Scheduler(
            decoder,
            self.prefixes,
            max_queue,
            running_bytes=max(64, cache_mb) * MEGABYTE * _RUNNING,
        )
        self._arrived: dict[asyncio.AbstractEventLoop, list[tuple[Score, asyncio.Future[None]]]] = {}

    @property
    def name(self) -> str:
        """The model's name."""
        return self._name

    @property
    def context_tokens(self) -> int:
        """How many tokens prompt and answer may have together."""
        return self._context

    def count(self, prompt: Prompt) -> int:
        """How many tokens `prompt` has, with the template's own."""
        return len(self.tokenizer.encode(prompt))

    async def score(self, prompt: Prompt, labels: Sequence[str], *, exact: bool = True) -> list[float]:
        """See Engine.score."""
        loop = asyncio.get_running_loop()
        ids, shared = await self._tokens(prompt)
        tokens = [self.tokenizer.encode_text(label) for label in labels]
        if not tokens or not all(tokens):
            raise EngineError("there must be labels, and none of them empty")
        longest = max(map(len, tokens)) - 1
        if len(ids) + longest > self._context:
            raise PromptTooLong(len(ids), self._context - longest)
        answer: asyncio.Future[None] = loop.create_future()

        def done(problem: Exception | None) -> None:
            _tell(loop, _settle, answer, problem)

        request = Score(ids=ids, shared=shared, done=done, labels=tokens, exact=exact)
        self._submit_together(loop, request, answer)
        try:
            await answer
        finally:
            self.scheduler.cancel(request)
        return request.scores

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[str]:
        """See Engine.stream."""
        loop = asyncio.get_running_loop()
        ids, shared = await self._tokens(prompt)
        if len(ids) + 1 > self._context:
            raise PromptTooLong(len(ids), self._context - 1)
        text = Detokenizer(self.tokenizer, sampling.stop)
        thoughts = ThoughtFilter(self.tokenizer.opened_thought, begun=bool(prompt.opening))
        pieces: asyncio.Queue[str | Exception | None] = asyncio.Queue()

        def on_token(token: int) -> bool:
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
            on_token=on_token,
            max_tokens=min(sampling.max_tokens, self._context - len(ids)),
            eos_token_ids=self.eos_token_ids,
            session=prompt.session,
        )
        self.scheduler.submit(request)
        try:
            while (piece := await pieces.get()) is not None:
                if isinstance(piece, Exception):
                    raise piece
                if shown := thoughts.push(piece):
                    yield shown
            rest = thoughts.flush()
            if request.generated >= request.max_tokens and not text.stopped:
                yield CutOff(rest)
            elif rest:
                yield rest
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

    def prefix(self, prompt: Prompt) -> list[int]:
        """The ids that every prompt of its role begins with."""
        ids, shared = self._encode(prompt)
        return ids[:shared]

    def _load_prefix(self, tokens: Sequence[int]) -> KVCache | None:
        states = self._prepared.take(tokens) if self._prepared is not None else None
        return None if states is None else KVCache.of(tokens, states, room=SEGMENT)

    async def _tokens(self, prompt: Prompt) -> tuple[list[int], int]:
        """The prompt's ids, and how many of them every prompt of its role begins with."""
        return await asyncio.to_thread(self._encode, prompt) if is_long(prompt) else self._encode(prompt)

    def _encode(self, prompt: Prompt) -> tuple[list[int], int]:
        ids = self.tokenizer.encode(prompt)
        return ids, common_prefix(self.tokenizer.encode_shared(prompt), ids[:-1])

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

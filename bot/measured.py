"""An engine whose requests are counted and timed, whoever makes them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from bot import metrics
from bot.engine import Engine, EngineBusy, Message, Prompt, PromptTooLong, Sampling

_EMPTY = Prompt((Message("user", ""),))


class MeasuredEngine:
    """`engine`, and nothing about its answers is different."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        metrics.ENGINE.labels(engine.name).set(1)

    @property
    def name(self) -> str:
        """See Engine.name."""
        return self._engine.name

    @property
    def context_tokens(self) -> int:
        """See Engine.context_tokens."""
        return self._engine.context_tokens

    @property
    def measures(self) -> bool:
        """Whether scores are log-probabilities, see RemoteEngine."""
        return bool(getattr(self._engine, "measures", True))

    def count(self, prompt: Prompt) -> int:
        """See Engine.count."""
        return self._engine.count(prompt)

    async def score(self, prompt: Prompt, labels: Sequence[str], *, relative: bool = False) -> list[float]:
        """See Engine.score."""
        with metrics.watch("engine_score") as watched:
            try:
                return await self._engine.score(prompt, labels, relative=relative)
            except (EngineBusy, PromptTooLong):
                watched.outcome = "refused"
                raise

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[str]:
        """See Engine.stream."""
        first, said = 0.0, ""
        with metrics.watch("engine_stream") as watched:
            try:
                async with aclosing(self._engine.stream(prompt, sampling)) as pieces:  # type: ignore[type-var]  # every engine's is a generator
                    async for piece in pieces:
                        watched.spoke()
                        first = first or time.perf_counter()
                        said += piece
                        yield piece
            except (EngineBusy, PromptTooLong):
                watched.outcome = "refused"
                raise
            except GeneratorExit:
                watched.outcome = "cancelled"
                raise
            finally:
                if said:
                    self._note(said, time.perf_counter() - first)

    async def forget(self, session: str | None = None) -> None:
        """See Engine.forget."""
        await self._engine.forget(session)

    async def close(self) -> None:
        """See Engine.close."""
        await self._engine.close()

    def _note(self, said: str, seconds: float) -> None:
        """Count an answer's tokens, and how fast those after the first one came."""
        tokens = self.count(Prompt((Message("user", said),))) - self.count(_EMPTY)
        metrics.TOKENS.labels("engine_stream", "completion").inc(max(0, tokens))
        if tokens > 1 and seconds > 0:
            metrics.SPEED.observe((tokens - 1) / seconds)

"""An engine whose requests are counted and timed, whoever makes them."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from bot.app import metrics
from bot.engine import Engine, EngineBusy, NoLabel, Prompt, PromptTooLong, Sampling, count_text


class MeasuredEngine:
    """An Engine that passes everything on to `engine` and changes nothing about its answers."""

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

    def count(self, prompt: Prompt) -> int:
        """See Engine.count."""
        return self._engine.count(prompt)

    async def score(self, prompt: Prompt, labels: Sequence[str], *, exact: bool = True) -> list[float]:
        """See Engine.score."""
        with metrics.watch("engine_score") as timer:
            try:
                return await self._engine.score(prompt, labels, exact=exact)
            except (EngineBusy, PromptTooLong, NoLabel):
                timer.outcome = "refused"
                raise

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[str]:
        """See Engine.stream."""
        first, text = 0.0, ""
        with metrics.watch("engine_stream") as timer:
            try:
                async with aclosing(self._engine.stream(prompt, sampling)) as pieces:
                    async for piece in pieces:
                        timer.note_text()
                        first = first or time.perf_counter()
                        text += piece
                        yield piece
            except (EngineBusy, PromptTooLong):
                timer.outcome = "refused"
                raise
            except GeneratorExit:
                timer.outcome = "cancelled"
                raise
            finally:
                if text:
                    self._count_tokens(text, time.perf_counter() - first)

    async def forget(self, session: str | None = None) -> None:
        """See Engine.forget."""
        await self._engine.forget(session)

    async def close(self) -> None:
        """See Engine.close."""
        await self._engine.close()

    def _count_tokens(self, text: str, seconds: float) -> None:
        """Count an answer's tokens, and how fast those after the first one came."""
        tokens = count_text(self._engine, text)
        metrics.TOKENS.labels("engine_stream", "completion").inc(tokens)
        if tokens > 1 and seconds > 0:
            metrics.SPEED.observe((tokens - 1) / seconds)

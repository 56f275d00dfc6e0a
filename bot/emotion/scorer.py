"""A role's label scores for a text: one number a label, before any calibration."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bot.emotion.spans import CHUNK_SIZE, MIN_CHUNK_SIZE, chunks, normalize_text
from bot.engine import AnsweredScores, Engine, PromptTooLong
from bot.roles import Role

MAX_CONCURRENT = 32  # prompts of batches and explanations that wait for the engine at once
MAX_DISTANCE = 25.0  # how much less likely than the likeliest spelling one can count, in log-probability


class Scorer:
    """Scores texts by roles; long ones in chunks.

    by_name: score the labels' names in place of their spellings: another server tells only its
        likeliest answers, and the prompt makes the names the likeliest.
    """

    def __init__(self, engine: Engine, *, by_name: bool = False) -> None:
        self._engine, self._by_name = engine, by_name
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)

    async def score(
        self, role: Role, text: str, *, batched: bool = False, exact: bool = False
    ) -> list[float]:
        """The score of each label, in their order: the mean log-probability of its spellings.

        The scores of a text's chunks are averaged by length; they are AnsweredScores where one of them is.
        batched: take one of MAX_CONCURRENT slots, so that a batch does not fill the engine's queue.
        exact: as in Engine.score; True for comparing texts that differ by little, where the faster
            way would round the difference off.
        Raises PromptTooLong where not even a small chunk fits, NoLabel and other kinds of EngineError.
        """
        parts = [part for part in chunks(normalize_text(text), CHUNK_SIZE) if part.strip()] or [""]
        batched = batched or len(parts) > 1
        scores = await asyncio.gather(*(self._score_chunk(role, part, batched, exact) for part in parts))
        return weighted_mean(scores, [max(1, len(part)) for part in parts])

    async def score_many(self, role: Role, texts: Sequence[str], *, exact: bool = False) -> list[list[float]]:
        """The scores of several texts, which share passes through the model."""
        return await asyncio.gather(*(self.score(role, text, batched=True, exact=exact) for text in texts))

    async def _score_chunk(self, role: Role, chunk: str, batched: bool, exact: bool) -> list[float]:
        try:
            if not batched:
                return await self._score_prompt(role, chunk, exact)
            async with self._slots:
                return await self._score_prompt(role, chunk, exact)
        except PromptTooLong:
            if len(chunk) <= MIN_CHUNK_SIZE:
                raise
        halves = chunks(chunk, (len(chunk) + 1) // 2)
        scores = await asyncio.gather(*(self._score_chunk(role, half, True, exact) for half in halves))
        return weighted_mean(scores, [len(half) for half in halves])

    async def _score_prompt(self, role: Role, text: str, exact: bool) -> list[float]:
        spellings = [(label.name,) if self._by_name else label.spellings for label in role.labels]
        flat = [spelling for each in spellings for spelling in each]
        scores = await self._engine.score(role.prompt(text), flat, exact=exact)
        lowest = max(scores) - MAX_DISTANCE
        remaining = iter(max(score, lowest) for score in scores)
        means = [sum(next(remaining) for _ in each) / len(each) for each in spellings]
        return AnsweredScores(means) if isinstance(scores, AnsweredScores) else means


def weighted_mean(rows: Sequence[Sequence[float]], weights: Sequence[int]) -> list[float]:
    """The weighted mean of each column, after each row's own mean is taken from it.

    Scores of different prompts are known only up to a constant.
    """
    total = sum(weights)
    centred = [[value - sum(row) / len(row) for value in row] for row in rows]
    means = [
        sum(row[at] * weight for row, weight in zip(centred, weights, strict=True)) / total
        for at in range(len(rows[0]))
    ]
    return AnsweredScores(means) if any(isinstance(row, AnsweredScores) for row in rows) else means

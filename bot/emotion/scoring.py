"""A role's label scores for a text: one number a label, before any calibration."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bot.emotion.normalising import normalise
from bot.emotion.pieces import cut
from bot.engine import Engine, PromptTooLong
from bot.roles import Role

PIECE = 600  # characters of a long text that the model reads at once
SMALLEST = 40  # a piece as short as this that does not fit is refused
TOGETHER = 32  # prompts of batches and explanations that wait for the engine at once
FLOOR = 25.0  # a spelling can be this much less likely than the likeliest, not more


class Scorer:
    """Scores texts by roles; long ones in pieces.

    by_name: score the labels' names in place of their spellings: another server tells only its
        likeliest answers, and the prompt makes the names the likeliest.
    """

    def __init__(self, engine: Engine, *, by_name: bool = False) -> None:
        self._engine, self._by_name = engine, by_name
        self._room = asyncio.Semaphore(TOGETHER)

    async def score(self, role: Role, text: str, *, waits: bool = False, exact: bool = False) -> list[float]:
        """The score of each label, in their order: the mean log-probability of its spellings.

        The scores of a text's pieces are averaged by length. waits: take a place among at most
        TOGETHER that are with the engine, so that a batch does not fill its queue. exact: for comparing
        texts that differ by little, where the engine's faster way to score would round the difference off.
        Raises PromptTooLong where not even a small piece fits, and EngineError.
        """
        pieces = [piece for piece in cut(normalise(text), PIECE) if piece.strip()] or [""]
        found = await asyncio.gather(
            *(self._piece(role, piece, waits or len(pieces) > 1, exact) for piece in pieces)
        )
        return mean(found, [max(1, len(piece)) for piece in pieces])

    async def score_many(self, role: Role, texts: Sequence[str], *, exact: bool = False) -> list[list[float]]:
        """The scores of several texts, which share passes through the model."""
        return await asyncio.gather(*(self.score(role, text, waits=True, exact=exact) for text in texts))

    async def _piece(self, role: Role, piece: str, waits: bool, exact: bool) -> list[float]:
        try:
            if not waits:
                return await self._ask(role, piece, exact)
            async with self._room:
                return await self._ask(role, piece, exact)
        except PromptTooLong:
            if len(piece) <= SMALLEST:
                raise
        halves = cut(piece, (len(piece) + 1) // 2)
        found = await asyncio.gather(*(self._piece(role, half, True, exact) for half in halves))
        return mean(found, [len(half) for half in halves])

    async def _ask(self, role: Role, piece: str, exact: bool) -> list[float]:
        spelt = [(label.name,) if self._by_name else label.spellings for label in role.labels]
        spellings = [spelling for each in spelt for spelling in each]
        scores = await self._engine.score(role.prompt(piece), spellings, relative=not exact)
        lowest = max(scores) - FLOOR
        left = iter(max(score, lowest) for score in scores)
        return [sum(next(left) for _ in each) / len(each) for each in spelt]


def mean(rows: Sequence[Sequence[float]], weights: Sequence[int]) -> list[float]:
    """The weighted mean of each column, after each row's own mean is taken from it.

    Scores of different prompts are known only up to a constant.
    """
    total = sum(weights)
    centred = [[value - sum(row) / len(row) for value in row] for row in rows]
    return [
        sum(row[at] * weight for row, weight in zip(centred, weights, strict=True)) / total
        for at in range(len(rows[0]))
    ]

"""A role's label scores for a text: one number a label, before any calibration."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bot.emotion.spans import CHUNK_SIZE, Span, chunks, normalize_text, parts_read
from bot.engine import AnsweredScores, Engine, PromptTooLong
from bot.roles import Role

MIN_CHUNK_SIZE = 40  # a chunk as short as this that does not fit is refused
MAX_DISTANCE = 25.0  # how much less likely than the likeliest spelling one can count, in log-probability
TURN_SIZE = CHUNK_SIZE  # characters that one caller hands to the engine at once; then others have a turn
PROMPT_SIZE = 20  # characters that the chat template around a text counts for


@dataclass(frozen=True)
class Scores:
    """The score of each label, in their order: the mean over the text's parts by their length.

    parts: where those stand in the text, each with its own scores. omitted: characters that are in none.
    """

    mean: list[float]
    parts: list[tuple[Span, list[float]]]
    omitted: int


class Scorer:
    """Scores texts by roles. What one call asks for goes to the engine in small turns, so that all others
    are served in between.

    by_name: score the labels' names in place of their spellings: another server tells only its
        likeliest answers, and the prompt makes the names the likeliest.
    """

    def __init__(self, engine: Engine, *, by_name: bool = False) -> None:
        self._engine, self._by_name = engine, by_name

    async def score(self, role: Role, text: str) -> Scores:
        """The mean log-probability of each label's spellings; a long text's parts one after the other.

        The mean is AnsweredScores where the scores of one part are.
        Raises PromptTooLong where not even a small chunk fits, NoLabel and other kinds of EngineError.
        """
        spans = parts_read(text)
        read = [(span, normalize_text(text[slice(*span)])) for span in spans]
        filled = [(span, part) for span, part in read if part] or read[:1]
        rows = [await self._score_chunk(role, part) for _, part in filled]
        mean = weighted_mean(rows, [max(1, len(part)) for _, part in filled])
        parts = [(span, row) for (span, _), row in zip(filled, rows, strict=True)]
        return Scores(mean, parts, len(text) - sum(end - start for start, end in spans))

    async def score_many(self, role: Role, texts: Sequence[str]) -> list[list[float]]:
        """The mean scores of several texts, some of which share passes through the model."""
        found: list[Scores] = []
        for some in turns(texts):
            found += await asyncio.gather(*(self.score(role, text) for text in some))
        return [each.mean for each in found]

    async def _score_chunk(self, role: Role, chunk: str) -> list[float]:
        try:
            return await self._score_prompt(role, chunk)
        except PromptTooLong:
            if len(chunk) <= MIN_CHUNK_SIZE:
                raise
        halves = [chunk[start:end] for start, end in chunks(chunk, (len(chunk) + 1) // 2)]
        scores = [await self._score_chunk(role, half) for half in halves]
        return weighted_mean(scores, [len(half) for half in halves])

    async def _score_prompt(self, role: Role, text: str) -> list[float]:
        spellings = [(label.name,) if self._by_name else label.spellings for label in role.labels]
        flat = [spelling for each in spellings for spelling in each]
        scores = await self._engine.score(role.prompt(text), flat, exact=False)
        lowest = max(scores) - MAX_DISTANCE
        remaining = iter(max(score, lowest) for score in scores)
        means = [sum(next(remaining) for _ in each) / len(each) for each in spellings]
        return AnsweredScores(means) if isinstance(scores, AnsweredScores) else means


def turns(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts in order, in groups of at most TURN_SIZE characters, or of one text."""
    group: list[str] = []
    size = 0
    for text in texts:
        size += len(text) + PROMPT_SIZE
        if group and size > TURN_SIZE:
            yield group
            group, size = [], len(text) + PROMPT_SIZE
        group.append(text)
    if group:
        yield group


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

"""Text to one of a role's labels: the model is scored on each label and never generates."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.engine import Engine
from bot.roles import Role


class EmptyText(ValueError):
    """There is nothing to classify; the message says the mend."""

    def __init__(self) -> None:
        super().__init__("there is no text to classify: write a sentence, for example 今天太棒了！")


@dataclass(frozen=True)
class Emotion:
    """One judgement. `scores` are the labels' probabilities and sum to 1; `confidence` is the winner's."""

    label: str
    emoji: str
    confidence: float
    scores: dict[str, float]


@dataclass(frozen=True)
class Evidence:
    """A span of the original text, `text == original[start:end]`, and how much it speaks for the label.

    weight: by how much the label's probability falls without the span, from -1 to 1.
    """

    text: str
    start: int
    end: int
    weight: float


@dataclass(frozen=True)
class Explanation:
    """Why: the spans that decided, the strongest first, and a sentence that names them."""

    evidence: tuple[Evidence, ...]
    text: str


class Emotions:
    """Classifies texts by any role that has labels."""

    def __init__(self, engine: Engine, roles: Mapping[str, Role], model_dir: Path | None = None) -> None:
        self._engine = engine
        self._roles = roles
        self._model_dir = model_dir

    async def classify(self, text: str, *, strict: bool = False, role: str = "emotion") -> Emotion:
        """The emotion of one text. `strict` forbids the neutral label. Raises EmptyText and EngineError."""
        chosen = self._role(role)
        if not text.strip():
            raise EmptyText
        spellings = [spelling for label in chosen.labels for spelling in label.spellings]
        scores = await self._engine.score(chosen.prompt(text), spellings)
        return _winner(chosen, scores)

    async def classify_many(
        self,
        texts: Sequence[str],
        *,
        strict: bool = False,
        role: str = "emotion",
        progress: Callable[[int], None] | None = None,
    ) -> list[Emotion]:
        """The emotions of several texts, in order; `progress` is told after each how many are done."""
        done = 0

        async def one(text: str) -> Emotion:
            nonlocal done
            emotion = await self.classify(text, strict=strict, role=role)
            done += 1
            if progress is not None:
                progress(done)
            return emotion

        found: list[Emotion] = []
        for start in range(0, len(texts), 32):
            found += await asyncio.gather(*(one(text) for text in texts[start : start + 32]))
        return found

    async def explain(self, text: str, emotion: Emotion, *, role: str = "emotion") -> Explanation:
        """Why `text` was judged `emotion`."""
        return Explanation((), f"判断为“{emotion.label}”。")

    @staticmethod
    def line(emotion: Emotion) -> str:
        """The line every surface shows: `😄 LLM 情感判断：正面`."""
        return f"{emotion.emoji} LLM 情感判断：{emotion.label}".strip()

    def _role(self, name: str) -> Role:
        role = self._roles.get(name)
        if role is None or not role.classifies:
            known = ", ".join(key for key, value in self._roles.items() if value.classifies)
            raise ValueError(f"role {name!r} does not classify; roles with labels are {known}")
        return role


def _winner(role: Role, scores: Sequence[float]) -> Emotion:
    """The label with the most probability over all its spellings."""
    left = iter(scores)
    totals = [_logsumexp([next(left) for _ in label.spellings]) for label in role.labels]
    whole = _logsumexp(totals)
    shares = {label.name: math.exp(total - whole) for label, total in zip(role.labels, totals, strict=True)}
    best = max(role.labels, key=lambda label: shares[label.name])
    return Emotion(best.name, best.emoji, shares[best.name], shares)


def _logsumexp(values: Sequence[float]) -> float:
    top = max(values)
    return top + math.log(sum(math.exp(value - top) for value in values))

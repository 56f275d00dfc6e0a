"""Emotions: texts to labels, and why. What every surface uses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bot.emotion.calibration import CONTENT_FREE, SCRIPTS, Calibration, Calibrations, contextual, stored
from bot.emotion.evidence import explanation, find_evidence
from bot.emotion.normalising import normalise
from bot.emotion.pieces import has_letters
from bot.emotion.results import Emotion, EmptyText, Explanation
from bot.emotion.scoring import TOGETHER, Scorer
from bot.engine import Engine
from bot.roles import Role

SENTIMENT, SENTIMENT_ROLES = "LLM 情感判断：", ("emotion", "feelings")


class Emotions:
    """Classifies texts by any role that has labels."""

    def __init__(self, engine: Engine, roles: Mapping[str, Role], model_dir: Path | None = None) -> None:
        self._engine = engine
        self._roles = roles
        self._model_dir = model_dir
        self._scorer = Scorer(engine, by_name=model_dir is None)
        self._calibrations: dict[str, asyncio.Task[Calibrations]] = {}

    async def classify(self, text: str, *, strict: bool = False, role: str = "emotion") -> Emotion:
        """The emotion of one text. `strict` forbids the neutral label. Raises EmptyText and EngineError."""
        return await self._judge(text, strict, role, waits=False)

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
            emotion = await self._judge(text, strict, role, waits=True)
            done += 1
            if progress is not None:
                progress(done)
            return emotion

        found: list[Emotion] = []
        for start in range(0, len(texts), 2 * TOGETHER):
            found += await asyncio.gather(*(one(text) for text in texts[start : start + 2 * TOGETHER]))
        return found

    async def explain(self, text: str, emotion: Emotion, *, role: str = "emotion") -> Explanation:
        """Why `text` was judged `emotion`: the spans without which that label would be less likely."""
        chosen = self._role(role)
        calibration = (await self.calibrations(chosen)).of(text)
        at = [label.name for label in chosen.labels].index(emotion.label)
        # A judgement that was strict is explained strictly.
        forbidden = [
            place for place in _neutral(chosen) if emotion.scores.get(chosen.labels[place].name) == 0
        ]

        async def probability(texts: Sequence[str]) -> list[float]:
            told = [each for each in texts if has_letters(normalise(each))]
            scores = await self._scorer.score_many(chosen, told, exact=True)
            found = iter(calibration.probabilities(row, forbidden)[at] for row in scores)
            # A rest that says nothing makes all labels as likely.
            nothing = 1 / (len(chosen.labels) - len(forbidden))
            return [next(found) if has_letters(normalise(each)) else nothing for each in texts]

        evidence = await find_evidence(text, probability)
        return explanation(chosen, text, emotion, evidence)

    def line(self, emotion: Emotion, *, role: str = "emotion") -> str:
        """The line every surface shows: `😄 LLM 情感判断：正面`; of another role `🔥 Urgency: 紧急`."""
        lead = SENTIMENT if role in SENTIMENT_ROLES else f"{self._role(role).title}: "
        return f"{emotion.emoji} {lead}{emotion.label}".strip()

    async def scores(self, texts: Sequence[str], *, role: str = "emotion") -> list[list[float]]:
        """Uncalibrated scores of the role's labels: what a calibration is fitted to."""
        return await self._scorer.score_many(self._role(role), texts)

    async def calibrations(self, role: Role) -> Calibrations:
        """The model's calibrations for a role: stored with it, else measured on texts that say nothing."""
        if (found := self._calibrations.get(role.name)) is None or (found.done() and _failed(found)):
            found = asyncio.ensure_future(self._calibrate(role))
            self._calibrations[role.name] = found
        # One who gives up must not take the measurement from the others.
        return await asyncio.shield(found)

    async def _calibrate(self, role: Role) -> Calibrations:
        if (known := stored(role, self._model_dir)) is not None:
            return known
        scores = [await self._scorer.score_many(role, CONTENT_FREE[script]) for script in SCRIPTS]
        if not getattr(self._engine, "measures", True):  # it only tells which label it would answer
            plain = Calibration((0.0,) * len(role.labels), 1.0)
            return Calibrations(plain, plain)
        return Calibrations(*map(contextual, scores))

    async def _judge(self, text: str, strict: bool, name: str, *, waits: bool) -> Emotion:
        role = self._role(name)
        if not normalise(text):
            raise EmptyText
        calibration = (await self.calibrations(role)).of(text)
        scores = await self._scorer.score(role, text, waits=waits)
        shares = calibration.probabilities(scores, _neutral(role) if strict else ())
        best = max(range(len(shares)), key=shares.__getitem__)
        label = role.labels[best]
        named = {each.name: share for each, share in zip(role.labels, shares, strict=True)}
        return Emotion(label.name, label.emoji, shares[best], named)

    def _role(self, name: str) -> Role:
        role = self._roles.get(name)
        if role is None or not role.classifies:
            known = ", ".join(key for key, value in self._roles.items() if value.classifies)
            raise ValueError(f"role {name!r} does not classify; roles with labels are {known}")
        return role


def _neutral(role: Role) -> list[int]:
    """Places of the labels that `strict` forbids."""
    return [at for at, label in enumerate(role.labels) if label.neutral]


def _failed(task: asyncio.Task[Calibrations]) -> bool:
    return task.cancelled() or task.exception() is not None

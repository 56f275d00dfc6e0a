"""Texts to labels, and the evidence for them. What every surface uses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bot.emotion.calibration import (
    CONTENT_FREE,
    SCRIPTS,
    Calibration,
    Calibrations,
    contextual_calibration,
    fingerprint,
    load_calibrations,
)
from bot.emotion.evidence import find_evidence, find_passage
from bot.emotion.own_words import counted_words
from bot.emotion.results import Emotion, EmptyText, Explanation
from bot.emotion.scorer import Scorer, turns
from bot.emotion.spans import has_letters, is_chinese, normalize_text
from bot.engine import AnsweredScores, Engine, NoLabel
from bot.roles import Role


class EmotionClassifier:
    """Classifies texts by any role that has labels."""

    def __init__(self, engine: Engine, roles: Mapping[str, Role], model_dir: Path | None = None) -> None:
        self._engine = engine
        self._roles = roles
        self._model_dir = model_dir
        self._scorer = Scorer(engine, by_name=model_dir is None)
        self._calibrations: dict[str, asyncio.Task[Calibrations]] = {}

    async def classify(self, text: str, *, strict: bool = False, role: str = "emotion") -> Emotion:
        """The emotion of one text. `strict` forbids the neutral label. Raises EmptyText and EngineError.

        NoLabel, a kind of EngineError, says what another server's model answered in place of a label.
        """
        return await self._classify(text, strict, role)

    async def classify_many(
        self,
        texts: Sequence[str],
        *,
        strict: bool = False,
        role: str = "emotion",
        progress: Callable[[int], None] | None = None,
    ) -> list[Emotion]:
        """The emotions of several texts, in order; `progress` is called after each with how many are done."""
        done = 0

        async def classify_one(text: str) -> Emotion:
            nonlocal done
            emotion = await self._classify(text, strict, role)
            done += 1
            if progress is not None:
                progress(done)
            return emotion

        emotions: list[Emotion] = []
        for some in turns(texts):
            emotions += await asyncio.gather(*map(classify_one, some))
        return emotions

    async def explain(self, text: str, emotion: Emotion, *, role: str = "emotion") -> Explanation:
        """Why `text` is classified as `emotion`: the spans without which its label would be less likely.

        Of a long text one passage is searched, the one that speaks most for the label, so that the reason
        takes no longer than that of a short text.
        """
        chosen = self._role(role)
        read = counted_words(chosen, text)
        at = [label.name for label in chosen.labels].index(emotion.label)
        # What was classified strictly is explained strictly.
        forbidden = [
            place for place in _neutral(chosen) if emotion.scores.get(chosen.labels[place].name) == 0
        ]

        async def probability(texts: Sequence[str]) -> list[float]:
            legible = [each for each in texts if has_letters(normalize_text(each))]
            # Without a letter in it, or an answer to it, a text makes all labels equally likely.
            equal = 1 / (len(chosen.labels) - len(forbidden))
            rows: list[list[float] | None] = []
            for some in turns(legible):
                rows += await asyncio.gather(*(self._score(chosen, each) for each in some))
            calibration = await self._calibration(chosen, read, rows)
            shares = iter(calibration.probabilities(row, forbidden)[at] if row else equal for row in rows)
            return [next(shares) if has_letters(normalize_text(each)) else equal for each in texts]

        start, end = emotion.decisive or (0, len(text))
        passage = await find_passage(read, (start, end), probability)
        found = await find_evidence(read, passage, probability)
        evidence = tuple(replace(each, text=text[each.start : each.end]) for each in found)
        return Explanation(evidence, chosen.labels[at], is_chinese(read))

    async def scores(self, texts: Sequence[str], *, role: str = "emotion") -> list[list[float]]:
        """Uncalibrated scores of the role's labels: what a calibration is fitted to."""
        chosen = self._role(role)
        return await self._scorer.score_many(chosen, [counted_words(chosen, text) for text in texts])

    async def calibrations(self, role: Role) -> Calibrations:
        """The model's calibrations for a role: stored with it, else measured on content-free texts."""
        key = fingerprint(role)
        task = self._calibrations.get(key)
        if task is None or (task.done() and _failed(task)):
            task = asyncio.ensure_future(self._calibrate(role))
            self._calibrations[key] = task
        # A caller who is cancelled must not take the measurement from the others.
        return await asyncio.shield(task)

    async def _calibrate(self, role: Role) -> Calibrations:
        if (loaded := load_calibrations(role, self._model_dir)) is not None:
            return loaded
        found = []
        for script in SCRIPTS:
            rows = await asyncio.gather(*(self._score(role, text) for text in CONTENT_FREE[script]))
            measured = [row for row in rows if row and not isinstance(row, AnsweredScores)]
            found.append(contextual_calibration(measured) if measured else _uncalibrated(role))
        return Calibrations(*found)

    async def _calibration(
        self, role: Role, text: str, rows: Sequence[Sequence[float] | None]
    ) -> Calibration:
        """What fits all of `rows`, scores of `text` or its parts: none fits an answered label."""
        if any(isinstance(row, AnsweredScores) for row in rows):
            return _uncalibrated(role)
        return (await self.calibrations(role)).of(text)

    async def _score(self, role: Role, text: str) -> list[float] | None:
        """The text's scores; None where the model answers no label to it."""
        try:
            return (await self._scorer.score(role, text)).mean
        except NoLabel:
            return None

    async def _classify(self, text: str, strict: bool, name: str) -> Emotion:
        role = self._role(name)
        if not normalize_text(text):
            raise EmptyText
        forbidden = _neutral(role) if strict else ()
        read = counted_words(role, text)
        scores = await self._scorer.score(role, read)
        calibration = await self._calibration(role, read, [scores.mean])
        shares = calibration.probabilities(scores.mean, forbidden)
        best = max(range(len(shares)), key=shares.__getitem__)
        label = role.labels[best]
        by_name = {each.name: share for each, share in zip(role.labels, shares, strict=True)}
        decisive, _ = max(scores.parts, key=lambda part: calibration.probabilities(part[1], forbidden)[best])
        return Emotion(
            label.name,
            label.emoji,
            shares[best],
            by_name,
            label.sign,
            label.english,
            scores.omitted,
            decisive,
        )

    def _role(self, name: str) -> Role:
        role = self._roles.get(name)
        if role is None or not role.classifies:
            known = ", ".join(key for key, value in self._roles.items() if value.classifies)
            raise ValueError(f"role {name!r} does not classify; roles with labels are {known}")
        return role


def _neutral(role: Role) -> list[int]:
    """Places of the labels that `strict` forbids."""
    return [at for at, label in enumerate(role.labels) if label.neutral]


def _uncalibrated(role: Role) -> Calibration:
    return Calibration((0.0,) * len(role.labels), 1.0)


def _failed(task: asyncio.Task[Calibrations]) -> bool:
    return task.cancelled() or task.exception() is not None

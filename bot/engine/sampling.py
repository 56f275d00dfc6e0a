"""Logits to the next token of each answer: penalty, temperature, top-k, top-p, a seeded draw.

The order and the meaning are those of transformers' logits processors; defaults are what the model's
`generation_config.json` says and, where it is silent, what transformers assumes.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bot.engine.interface import EngineError, Sampling
from bot.engine.tensors import Floats

# A nucleus (top-p without top-k) is looked for among this many tokens before the whole vocabulary is sorted.
NUCLEUS = 512


@dataclass(frozen=True)
class Defaults:
    """A model's own way of drawing. `ends` are the ids that end an answer."""

    sample: bool = False
    temperature: float = 1.0
    top_k: int = 50
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    ends: frozenset[int] = frozenset()


def read_defaults(directory: Path) -> Defaults:
    """What `generation_config.json` says, or transformers' defaults where there is none."""
    file = directory / "generation_config.json"
    if not file.is_file():
        return Defaults()
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        ends = found.get("eos_token_id")
        given = {name: found.get(name) for name in ("temperature", "top_k", "top_p", "repetition_penalty")}
        return Defaults(
            sample=bool(found.get("do_sample")),
            ends=frozenset(ends if isinstance(ends, list) else [] if ends is None else [int(ends)]),
            **{name: value for name, value in given.items() if value is not None},
        )
    except (ValueError, TypeError, AttributeError) as problem:
        raise EngineError(f"{file} cannot be read: {problem}; put the model's own file there") from None


class Sampler:
    """How one answer is drawn, with what it remembers: the tokens seen and its own random numbers."""

    def __init__(self, sampling: Sampling, defaults: Defaults, prompt: Sequence[int]) -> None:
        """`prompt` are the ids that count as said. Raises EngineError for values without a meaning."""
        given = sampling.temperature
        self.temperature = _first(given, defaults.temperature if defaults.sample else 0.0)
        self.top_k = int(_first(sampling.top_k, defaults.top_k))
        self.top_p = _first(sampling.top_p, defaults.top_p)
        self.penalty = _first(sampling.repetition_penalty, defaults.repetition_penalty)
        if self.temperature < 0 or self.top_k < 0 or not 0 <= self.top_p <= 1 or self.penalty <= 0:
            raise EngineError(
                "sampling needs temperature >= 0, top_k >= 0, top_p from 0 to 1 and repetition_penalty > 0"
            )
        # Not for secrets: a seed must give the same answer again.
        self._random = random.Random(sampling.seed)  # noqa: S311
        self._known: set[int] = set(prompt) if self.penalty != 1.0 else set()
        self._seen = np.array(sorted(self._known), dtype=np.intp)

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is taken."""
        return self.temperature == 0 or self.top_k == 1

    def note(self, token: int) -> None:
        """Take `token` as said."""
        if self.penalty != 1.0 and token not in self._known:
            self._known.add(token)
            self._seen = np.append(self._seen, token)

    def penalise(self, row: Floats) -> None:
        """Make what was said less likely, in place (Keskar et al., CTRL, 2019). `row` is [vocabulary]."""
        if self.penalty == 1.0 or not len(self._seen):
            return
        said, penalty = row[self._seen], np.float32(self.penalty)
        row[self._seen] = np.where(said < 0, said * penalty, said / penalty)

    def draw(self) -> float:
        """The next random number, from 0 up to 1."""
        return self._random.random()


def choose(logits: Floats, samplers: Sequence[Sampler]) -> list[int]:
    """The next token of each row of `logits` [answers, vocabulary], which may be changed on the way."""
    chosen = []
    for row, sampler in zip(logits, samplers, strict=True):
        sampler.penalise(row)
        if sampler.greedy:
            chosen.append(int(row.argmax()))
        elif sampler.top_k:
            chosen.append(_choose_short(row, sampler))
        else:
            chosen.append(_choose_long(row, sampler))
    return chosen


def _choose_short(row: Floats, sampler: Sampler) -> int:
    """With top-k: all further arithmetic is on the few best tokens, the best first."""
    tokens = _best(row, min(sampler.top_k, len(row)))
    shares = _softmax(row[tokens], sampler.temperature)
    return int(tokens[_place(_nucleus(shares, sampler.top_p), sampler.draw())])


def _choose_long(row: Floats, sampler: Sampler) -> int:
    """Without top-k the whole vocabulary counts, though a nucleus seldom needs more than its best tokens."""
    shares, draw = _softmax(row, sampler.temperature), sampler.draw()
    if sampler.top_p >= 1:
        return _place(shares, draw)
    tokens = _best(shares, min(NUCLEUS, len(shares)))
    if float(shares[tokens].sum()) < sampler.top_p:
        tokens = np.argsort(-shares, kind="stable")
    return int(tokens[_place(_nucleus(shares[tokens], sampler.top_p), draw)])


def _softmax(values: Floats, temperature: float) -> Floats:
    shares: Floats = np.exp((values - values.max()) / np.float32(temperature))
    shares /= shares.sum()
    return shares


def _best(values: Floats, width: int) -> NDArray[np.intp]:
    """The places of the `width` largest, the largest first.

    Over a vocabulary it is quicker to take the largest of blocks first: a value among the best `width`
    lies in one of the `width` blocks with the largest maxima.
    """
    size, block = len(values), 64
    if size % block or width * block * 4 > size:
        some = np.arange(size)
    else:
        highest = values.reshape(-1, block).max(1)
        blocks = np.argpartition(highest, len(highest) - width)[-width:]
        some = (blocks[:, None] * block + np.arange(block)).ravel()
    found = values[some]
    if width < len(some):
        among = np.argpartition(found, len(found) - width)[-width:]
        some, found = some[among], found[among]
    return some[np.argsort(-found, kind="stable")]


def _nucleus(shares: Floats, top_p: float) -> Floats:
    """`shares` (the largest first), 0 where those before reach top_p (Holtzman et al., 2020)."""
    keep = shares.cumsum() - shares < top_p
    keep[0] = True
    return shares * keep


def _place(weights: Floats, draw: float) -> int:
    """Where `draw`, from 0 up to 1, falls among unnormalised `weights`: never on a weight of 0."""
    sums = weights.cumsum(dtype=np.float64)
    return min(int(np.searchsorted(sums, draw * sums[-1], side="right")), len(weights) - 1)


def _first(given: float | None, default: Any) -> float:
    return float(default if given is None else given)

"""Logits to the next token of each answer: penalties, bias, temperature, top-k, top-p, min-p, a seeded draw.

The order and the meaning are those of transformers' logits processors; defaults are what the model's
`generation_config.json` says and, where it is silent, what transformers assumes. Presence and frequency
penalties and the bias, which transformers lacks, are OpenAI's, and come after the repetition penalty.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bot.engine.config.arrays import Floats
from bot.engine.errors import EngineError
from bot.engine.interface import Sampling

# A nucleus (top-p without top-k) is looked for among this many tokens before the whole vocabulary is sorted.
NUCLEUS = 512


@dataclass(frozen=True)
class GenerationDefaults:
    """A model's own way of drawing. `eos_token_ids` end an answer."""

    sample: bool = False
    temperature: float = 1.0
    top_k: int = 50
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    eos_token_ids: frozenset[int] = frozenset()


def read_generation_config(directory: Path) -> GenerationDefaults:
    """What `generation_config.json` says, or transformers' defaults where there is none."""
    file = directory / "generation_config.json"
    if not file.is_file():
        return GenerationDefaults()
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        eos = found.get("eos_token_id")
        kinds = {"temperature": float, "top_k": int, "top_p": float, "repetition_penalty": float}
        given = {name: kind(found[name]) for name, kind in kinds.items() if found.get(name) is not None}
        return GenerationDefaults(
            sample=bool(found.get("do_sample")),
            eos_token_ids=frozenset(eos if isinstance(eos, list) else [] if eos is None else [int(eos)]),
            **given,
        )
    except (ValueError, TypeError, AttributeError) as problem:
        raise EngineError(f"{file} cannot be read: {problem}; put the model's own file there") from None


# What the Qwen2.5 family publishes beside its small models; their GGUF files do not carry it, and without
# it they would answer greedily and without the penalty that keeps them from repeating themselves.
_QWEN2 = GenerationDefaults(sample=True, temperature=0.7, top_k=20, top_p=0.8, repetition_penalty=1.1)


def gguf_generation_config(metadata: Mapping[str, Any], file: Path) -> GenerationDefaults:
    """What a GGUF file says (general.sampling), else what its family publishes. Raises EngineError."""
    defaults = _QWEN2 if metadata.get("general.architecture") == "qwen2" else GenerationDefaults()
    keys = {"temp": "temperature", "top_k": "top_k", "top_p": "top_p", "penalty_repeat": "repetition_penalty"}
    given = {
        name: metadata[f"general.sampling.{key}"]
        for key, name in keys.items()
        if f"general.sampling.{key}" in metadata
    }
    if not all(type(each) in (int, float) and 0 <= each < math.inf for each in given.values()):
        raise EngineError(f"{file} has in general.sampling what is no number: fetch it again")
    # A chat of the Qwen family ends with either.
    parts = ("eos", "padding") if defaults is _QWEN2 else ("eos",)
    ends = [metadata.get(f"tokenizer.ggml.{part}_token_id") for part in parts]
    if given.get("temperature") == 0:  # the likeliest token always
        del given["temperature"]
        defaults = replace(defaults, sample=False, temperature=1.0)
    return replace(
        defaults,
        sample=defaults.sample or "temperature" in given,
        eos_token_ids=frozenset(each for each in ends if type(each) is int),
        **given,
    )


class Sampler:
    """How one answer is drawn, with its state: the tokens that are penalized and its own random numbers."""

    def __init__(self, sampling: Sampling, defaults: GenerationDefaults, prompt: Sequence[int]) -> None:
        """`prompt`: ids that the repetition penalty counts too. Raises EngineError for impossible values."""
        given = sampling.temperature
        self.temperature = _given_or(given, defaults.temperature if defaults.sample else 0.0)
        self.top_k = int(_given_or(sampling.top_k, defaults.top_k))
        self.top_p = _given_or(sampling.top_p, defaults.top_p)
        self.min_p = sampling.min_p
        self.penalty = _given_or(sampling.repetition_penalty, defaults.repetition_penalty)
        self._presence, self._frequency = sampling.presence_penalty, sampling.frequency_penalty
        if self.temperature < 0 or self.top_k < 0 or not 0 <= self.top_p <= 1 or self.penalty <= 0:
            raise EngineError(
                "sampling needs temperature >= 0, top_k >= 0, top_p from 0 to 1 and repetition_penalty > 0"
            )
        # Not for secrets: a seed must give the same answer again.
        self._random = random.Random(sampling.seed)  # noqa: S311  draws words, guards nothing
        self._observed: set[int] = set(prompt) if self.penalty != 1.0 else set()
        self._penalized = np.array(sorted(self._observed), dtype=np.intp)
        self._drawn: set[int] = set()  # tokens of the answer so far, where their presence counts
        self._offsets = dict(sampling.logit_bias)  # what is added to a token's logit

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is taken."""
        return self.temperature == 0 or self.top_k == 1

    def observe(self, token: int) -> None:
        """Count `token`, the answer's newest, for the penalties from now on."""
        if self._presence or self._frequency:
            penalty = self._frequency + (0.0 if token in self._drawn else self._presence)
            self._offsets[token] = self._offsets.get(token, 0.0) - penalty
            self._drawn.add(token)
        if self.penalty != 1.0 and token not in self._observed:
            self._observed.add(token)
            self._penalized = np.append(self._penalized, token)

    def penalize(self, row: Floats) -> None:
        """All penalties and the bias, in place. `row` is [vocab_size].

        Repetition: Keskar et al., CTRL, 2019. The others are OpenAI's ("Frequency and presence penalties"
        in its guide to text generation): logit[j] -= count[j] * frequency + (count[j] > 0) * presence,
        where count is of the answer's tokens alone; `logit_bias` is added to the logits before the draw.
        """
        if self.penalty != 1.0 and len(self._penalized):
            logits, penalty = row[self._penalized], np.float32(self.penalty)
            row[self._penalized] = np.where(logits < 0, logits * penalty, logits / penalty)
        if self._offsets:
            tokens = np.fromiter(self._offsets, np.intp, len(self._offsets))
            offsets = np.fromiter(self._offsets.values(), np.float32, len(self._offsets))
            known = tokens < len(row)  # a bias may name tokens that this vocabulary lacks
            row[tokens[known]] += offsets[known]

    def draw(self) -> float:
        """The next random number, from 0 up to 1."""
        return self._random.random()


def sample(logits: Floats, samplers: Sequence[Sampler]) -> list[int]:
    """The next token of each row of `logits` [answers, vocab_size], which may be changed on the way."""
    chosen = []
    for row, sampler in zip(logits, samplers, strict=True):
        sampler.penalize(row)
        if sampler.greedy:
            chosen.append(int(row.argmax()))
        elif sampler.top_k:
            chosen.append(_sample_top_k(row, sampler))
        else:
            chosen.append(_sample_nucleus(row, sampler))
    return chosen


def _sample_top_k(row: Floats, sampler: Sampler) -> int:
    """With top-k: all further arithmetic is on the few best tokens, the best first."""
    tokens = _top_k(row, min(sampler.top_k, len(row)))
    probabilities = _nucleus(_softmax(row[tokens], sampler.temperature), sampler.top_p)
    return int(tokens[_index_of(_likely(probabilities, sampler.min_p), sampler.draw())])


def _sample_nucleus(row: Floats, sampler: Sampler) -> int:
    """Without top-k the whole vocabulary counts, though a nucleus seldom needs more than its best tokens."""
    probabilities, draw = _softmax(row, sampler.temperature), sampler.draw()
    if sampler.top_p >= 1:
        return _index_of(_likely(probabilities, sampler.min_p), draw)
    tokens = _top_k(probabilities, min(NUCLEUS, len(probabilities)))
    if float(probabilities[tokens].sum()) < sampler.top_p:
        tokens = np.argsort(-probabilities, kind="stable")
    nucleus = _nucleus(probabilities[tokens], sampler.top_p)
    return int(tokens[_index_of(_likely(nucleus, sampler.min_p), draw)])


def _softmax(values: Floats, temperature: float) -> Floats:
    probabilities: Floats = np.exp((values - values.max()) / np.float32(temperature))
    probabilities /= probabilities.sum()
    return probabilities


def _top_k(values: Floats, k: int) -> NDArray[np.intp]:
    """The indices of the `k` largest, the largest first.

    Over a vocabulary it is quicker to take the largest of blocks first: a value among the best `k`
    lies in one of the `k` blocks with the largest maxima.
    """
    size, block = len(values), 64
    if size % block or k * block * 4 > size:
        some = np.arange(size)
    else:
        highest = values.reshape(-1, block).max(1)
        blocks = np.argpartition(highest, len(highest) - k)[-k:]
        some = (blocks[:, None] * block + np.arange(block)).ravel()
    found = values[some]
    if k < len(some):
        among = np.argpartition(found, len(found) - k)[-k:]
        some, found = some[among], found[among]
    return some[np.argsort(-found, kind="stable")]


def _nucleus(probabilities: Floats, top_p: float) -> Floats:
    """`probabilities` (the largest first), 0 where those before reach top_p (Holtzman et al., 2020)."""
    keep = probabilities.cumsum() - probabilities < top_p
    keep[0] = True
    return probabilities * keep


def _likely(probabilities: Floats, min_p: float) -> Floats:
    """`probabilities`, 0 where they are below `min_p` of the largest (Nguyen et al., 2024)."""
    return probabilities * (probabilities >= min_p * probabilities.max()) if min_p else probabilities


def _index_of(weights: Floats, draw: float) -> int:
    """Where `draw`, from 0 up to 1, falls among unnormalized `weights`: never on a weight of 0."""
    sums = weights.cumsum(dtype=np.float64)
    return min(int(np.searchsorted(sums, draw * sums[-1], side="right")), len(weights) - 1)


def _given_or(given: float | None, default: Any) -> float:
    return float(default if given is None else given)

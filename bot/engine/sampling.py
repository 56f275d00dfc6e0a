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

import torch

from bot.engine.interface import EngineError, Sampling

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
        self._seen = torch.tensor(sorted(self._known), dtype=torch.long)

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is taken."""
        return self.temperature == 0 or self.top_k == 1

    def note(self, token: int) -> None:
        """Take `token` as said."""
        if self.penalty != 1.0 and token not in self._known:
            self._known.add(token)
            self._seen = torch.cat((self._seen, torch.tensor([token])))

    def penalise(self, row: torch.Tensor) -> None:
        """Make what was said less likely, in place (Keskar et al., CTRL, 2019). `row` is [vocabulary]."""
        if self.penalty == 1.0 or not len(self._seen):
            return
        said = row[self._seen]
        row[self._seen] = torch.where(said < 0, said * self.penalty, said / self.penalty)

    def draw(self) -> float:
        """The next random number, from 0 up to 1."""
        return self._random.random()


def choose(logits: torch.Tensor, samplers: Sequence[Sampler]) -> list[int]:
    """The next token of each row of `logits` [answers, vocabulary], which may be changed on the way."""
    for row, sampler in zip(logits, samplers, strict=True):
        sampler.penalise(row)
    chosen = [0] * len(samplers)
    greedy = [at for at, sampler in enumerate(samplers) if sampler.greedy]
    short = [at for at, sampler in enumerate(samplers) if not sampler.greedy and sampler.top_k]
    if greedy:
        for at, token in zip(greedy, _rows(logits, greedy).argmax(1).tolist(), strict=True):
            chosen[at] = token
    if short:
        for at, token in zip(
            short, _choose_short(_rows(logits, short), [samplers[at] for at in short]), strict=True
        ):
            chosen[at] = token
    for at, sampler in enumerate(samplers):
        if not sampler.greedy and not sampler.top_k:
            chosen[at] = _choose_long(logits[at], sampler)
    return chosen


def _choose_short(logits: torch.Tensor, samplers: Sequence[Sampler]) -> list[int]:
    """For rows with top-k: all further arithmetic is on the few best tokens, the best first."""
    width = min(max(sampler.top_k for sampler in samplers), logits.shape[1])
    values, tokens = _best(logits, width)
    limits = torch.tensor([sampler.top_k for sampler in samplers])
    values = values.masked_fill(torch.arange(width) >= limits[:, None], -torch.inf)
    temperature = torch.tensor([[sampler.temperature] for sampler in samplers])
    shares = ((values - values[:, :1]) / temperature).softmax(1)
    kept = _nucleus(shares, torch.tensor([[sampler.top_p] for sampler in samplers]))
    places = _place(kept, torch.tensor([[sampler.draw()] for sampler in samplers]))
    return [int(token) for token in tokens.gather(1, places)[:, 0].tolist()]


def _choose_long(row: torch.Tensor, sampler: Sampler) -> int:
    """Without top-k the whole vocabulary counts, though a nucleus seldom needs more than its best tokens."""
    shares = ((row - row.max()) / sampler.temperature).softmax(0)
    draw, top_p = torch.tensor([sampler.draw()]), torch.tensor([sampler.top_p])
    if sampler.top_p >= 1:
        return int(_place(shares, draw))
    best, tokens = shares.topk(min(NUCLEUS, len(shares)))
    if float(best.sum()) < sampler.top_p:
        best, tokens = shares.sort(descending=True)
    return int(tokens[_place(_nucleus(best, top_p), draw)])


def _best(logits: torch.Tensor, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The `width` largest of each row and their places, the largest first.

    Over a vocabulary it is quicker to take the largest of blocks first: a token among the best `width`
    lies in one of the `width` blocks with the largest maxima.
    """
    rows, size = logits.shape
    block = 64
    if size % block or width * block * 4 > size:
        return logits.topk(width)
    blocks = logits.view(rows, size // block, block)
    where = blocks.amax(2).topk(width, sorted=False).indices
    values, places = blocks.gather(1, where[:, :, None].expand(-1, -1, block)).flatten(1).topk(width)
    return values, where.gather(1, places // block) * block + places % block


def _nucleus(shares: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
    """`shares` (the largest first), 0 where those before reach top_p (Holtzman et al., 2020)."""
    before = shares.cumsum(-1) - shares
    keep = before < top_p
    keep[..., 0] = True
    return shares * keep


def _place(weights: torch.Tensor, draw: torch.Tensor) -> torch.Tensor:
    """Where `draw`, from 0 up to 1, falls among unnormalised `weights`: never on a weight of 0."""
    sums = weights.double().cumsum(-1)
    found = torch.searchsorted(sums, draw.double() * sums[..., -1:], right=True)
    return found.clamp_(max=weights.shape[-1] - 1)


def _rows(logits: torch.Tensor, which: Sequence[int]) -> torch.Tensor:
    return logits if len(which) == len(logits) else logits[list(which)]


def _first(given: float | None, default: Any) -> float:
    return float(default if given is None else given)

"""What the scheduler works on: labels to score and answers to generate, each with its state."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bot.engine.cache.kv_cache import KVCache
from bot.engine.text.sampling import Sampler


@dataclass(eq=False, kw_only=True)
class Request:
    """One call of the engine.

    ids: the whole prompt. shared: how many leading ids are a role's prefix.
    done: called once, from the engine's thread, with None or what went wrong.
    cancelled: set by any thread; the request is dropped before the next pass.
    arrived: when, in seconds of the monotonic clock.
    """

    ids: list[int]
    shared: int = 0
    done: Callable[[Exception | None], None]
    cancelled: bool = field(default=False, init=False)
    answered: bool = field(default=False, init=False)
    arrived: float = field(default_factory=time.monotonic, init=False)

    @property
    def prefix(self) -> list[int]:
        """The role's prefix."""
        return self.ids[: self.shared]

    def finish(self, problem: Exception | None = None) -> None:
        """Call `done`, once."""
        if not self.answered:
            self.answered = True
            self.done(problem)


@dataclass(eq=False, kw_only=True)
class Score(Request):
    """Log-probabilities of labels after a prompt; see `Engine.score`.

    own_cache: holds the beginning of a text that is too long for one pass.
    scores: the answer, set before `done` is called.
    """

    labels: list[list[int]]
    exact: bool = True
    own_cache: KVCache | None = field(default=None, init=False)
    scores: list[float] = field(default_factory=list, init=False)

    def cost(self, known: int) -> int:
        """How many tokens a pass has to compute when the first `known` are in a cache."""
        return len(self.ids) - known + sum(len(label) - 1 for label in self.labels)


@dataclass(eq=False, kw_only=True)
class Stream(Request):
    """An answer being generated.

    on_token: takes each token and returns whether to go on. eos_token_ids: those that end the answer.
    session: the conversation that prompt and answer are kept as part of; None: nobody's.
    keep: whether they may be kept at all.
    cache, token: keys and values of prompt and answer so far, and the token that is decoded next.
    """

    sampler: Sampler
    on_token: Callable[[int], bool]
    max_tokens: int
    eos_token_ids: frozenset[int] = frozenset()
    session: str | None = None
    keep: bool = field(default=True, init=False)
    cache: KVCache | None = field(default=None, init=False)
    token: int | None = field(default=None, init=False)
    generated: int = field(default=0, init=False)


@dataclass(eq=False)
class Prefill:
    """A chunked prefill: tokens on their way into a KV cache.

    request: whose tokens they are; None for a role's prefix, which is pinned when it is complete.
    """

    tokens: Sequence[int]
    cache: KVCache
    request: Request | None = None

    @property
    def remaining(self) -> int:
        """How many tokens are still to be computed."""
        return len(self.tokens) - len(self.cache)

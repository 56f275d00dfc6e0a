"""What the scheduler works on: texts to score and answers to write, each with where it stands."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bot.engine.kv_cache import KVCache
from bot.engine.sampling import Sampler


@dataclass(eq=False, kw_only=True)
class Request:
    """One call of the engine.

    ids: the whole prompt. shared: how many leading ids are a role's prefix.
    done: called once, from the engine's thread, with None or what went wrong.
    cancelled: set by any thread; the request is dropped before the next pass.
    asked: when it came, in seconds of the monotonic clock.
    """

    ids: list[int]
    shared: int = 0
    done: Callable[[Exception | None], None]
    cancelled: bool = field(default=False, init=False)
    answered: bool = field(default=False, init=False)
    asked: float = field(default_factory=time.monotonic, init=False)

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

    own: a cache with the beginning of a text that is too long for one pass.
    scores: the answer, set before `done` is called.
    """

    labels: list[list[int]]
    relative: bool = False
    own: KVCache | None = field(default=None, init=False)
    scores: list[float] = field(default_factory=list, init=False)

    def cost(self, known: int) -> int:
        """How many tokens a pass has to compute when the first `known` are in a cache."""
        return len(self.ids) - known + sum(len(label) - 1 for label in self.labels)


@dataclass(eq=False, kw_only=True)
class Stream(Request):
    """An answer being written.

    said: takes each token and tells whether to go on. limit: how many tokens at most. ends: the ids
        that end the answer.
    cache, token: what the model has read of prompt and answer, and the token it reads next.
    """

    sampler: Sampler
    said: Callable[[int], bool]
    limit: int
    ends: frozenset[int] = frozenset()
    session: str | None = None
    cache: KVCache | None = field(default=None, init=False)
    token: int | None = field(default=None, init=False)
    written: int = field(default=0, init=False)


@dataclass(eq=False)
class Reading:
    """Tokens on their way into a cache, a chunk at a time.

    by: the request that they belong to; None for a role's prefix, which is pinned when it is read.
    """

    tokens: Sequence[int]
    cache: KVCache
    by: Request | None = None

    @property
    def left(self) -> int:
        """How many tokens are still to be read."""
        return len(self.tokens) - len(self.cache)

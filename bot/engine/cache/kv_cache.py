"""Keys and values of one sequence of tokens, for every layer."""

from __future__ import annotations

import math
import mmap
from collections.abc import Sequence

import numpy as np

from bot.engine.config.arrays import Floats
from bot.engine.config.model_config import ModelConfig

_MIN_CAPACITY = 64


class KVCache:
    """What attention needs of one token sequence. Copied by `fork`, never shared: sequences cannot mix.

    states: float32 [num_layers, 2 * num_kv_heads, capacity, head_dim]; of each layer the keys' heads come
        first, then the values'. Positions from `len(self)` on are uninitialized.
    """

    def __init__(self, config: ModelConfig, room: int = 0) -> None:
        self.tokens: list[int] = []
        self.states = _allocate(
            config.num_layers, 2 * config.num_kv_heads, max(room, _MIN_CAPACITY), config.head_dim
        )

    @classmethod
    def of(cls, tokens: Sequence[int], states: Floats, room: int = 0) -> KVCache:
        """The cache of `tokens`, whose `states` are a copy of those given, with room for `room` more."""
        copy = object.__new__(cls)
        copy.tokens = list(tokens)
        copy.states = copy_states(states, 0, len(tokens), max(len(tokens) + room, _MIN_CAPACITY))
        return copy

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def capacity(self) -> int:
        """How many tokens fit before the memory must grow."""
        return int(self.states.shape[2])

    @property
    def nbytes(self) -> int:
        return self.states.nbytes

    def reserve(self, length: int) -> None:
        """Make room for `length` tokens in all, at least doubling what there was."""
        if length > self.capacity:
            self.states = copy_states(self.states, 0, len(self), max(length, 2 * self.capacity))

    def append(self, tokens: Sequence[int], states: Floats) -> None:
        """Append tokens whose states are the first of `states`, [.., .., len(tokens) or more, ..]."""
        start, end = len(self), len(self) + len(tokens)
        self.reserve(end)
        self.states[:, :, start:end] = states[:, :, : len(tokens)]
        self.tokens.extend(tokens)

    def fork(self, length: int, room: int = 0) -> KVCache:
        """A copy of the first `length` tokens, with room for `room` more."""
        if not 0 <= length <= len(self):
            raise ValueError(f"cannot fork {length} tokens of {len(self)}")
        return KVCache.of(self.tokens[:length], self.states, room)

    def truncate(self, length: int) -> None:
        """Forget all but the first `length` tokens; the memory stays as room."""
        if not 0 <= length <= len(self):
            raise ValueError(f"cannot truncate {len(self)} tokens to {length}")
        del self.tokens[length:]


def copy_states(states: Floats, start: int, end: int, capacity: int) -> Floats:
    """The states of the tokens from `start` to `end`, [num_layers, heads, capacity, head_dim]."""
    layers, heads, _, width = states.shape
    copy = _allocate(layers, heads, capacity, width)
    copy[:, :, : end - start] = states[:, :, start:end]
    return copy


def _allocate(*shape: int) -> Floats:
    """Memory that is taken page by page as it is written: numpy's own would take much of it at once."""
    return np.frombuffer(mmap.mmap(-1, 4 * math.prod(shape)), np.float32).reshape(shape)

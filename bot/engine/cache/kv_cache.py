"""Keys and values of one sequence of tokens, for every layer, shared with whoever begins alike."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bot.engine.config.arrays import Floats
from bot.engine.config.model_config import ModelConfig

# Tokens of a sequence's first memory. A further one has as many as all before it, for the processor has to
# find each memory anew: with 64 in each, the step after 1,000 tokens took 4 % longer. No power of two, whose
# lines would share the sets of the processor's caches.
SEGMENT = 240


@dataclass(eq=False)
class Memory:
    """Room for keys and values, which is written once, from its beginning on.

    states: float32 [num_layers, 2 * num_kv_heads, capacity, head_dim]; of each layer the keys' heads come
        first, then the values'.
    filled: tokens from here on are nobody's. Who goes on exactly here may take them.
    used: the most that were ever filled.
    address, stride: where the states are, and how many bytes it is from a token to the next.
    """

    states: Floats
    filled: int = 0
    used: int = field(init=False)
    address: int = field(init=False)
    stride: int = field(init=False)

    def __post_init__(self) -> None:
        self.used, self.address = self.filled, self.states.ctypes.data
        self.stride = self.states.strides[2]

    @property
    def capacity(self) -> int:
        """How many tokens fit."""
        return int(self.states.shape[2])

    @property
    def nbytes(self) -> int:
        """Bytes that the system has given for it: the pages of each head's line that were written."""
        line = -(-self.used * self.stride // mmap.PAGESIZE) * mmap.PAGESIZE
        return self.states.nbytes // self.capacity * min(line // self.stride, self.capacity)

    def fill(self, end: int) -> None:
        """Take the tokens up to `end`."""
        self.filled, self.used = end, max(self.used, end)


@dataclass(frozen=True)
class Segment:
    """Tokens that follow each other in a memory: those from `start` to `end` there."""

    memory: Memory
    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start

    @property
    def states(self) -> Floats:
        """Their keys and values, where they are: [num_layers, 2 * num_kv_heads, tokens, head_dim]."""
        return self.memory.states[:, :, self.start : self.end]

    @property
    def address(self) -> int:
        """Where the first one's first key is."""
        return self.memory.address + self.start * self.memory.stride

    def cut(self, start: int, end: int) -> Segment:
        """Some of these tokens."""
        return Segment(self.memory, self.start + start, self.start + end)


class KVCache:
    """What attention needs of one token sequence: segments that others may share, and room behind them.

    A token's keys and values are written by one sequence alone, and not again while another may have them,
    so that sequences cannot mix.
    """

    def __init__(self, config: ModelConfig, room: int = 0) -> None:
        """An empty one. room: for how many tokens there is memory in one piece."""
        self.tokens: list[int] = []
        self._segments: list[Segment] = []
        self._shape = config.num_layers, 2 * config.num_kv_heads, config.head_dim
        self._room = 0  # tokens of all segments
        self._shared = 0  # leading tokens that others may have
        self._apart = False
        self._table: NDArray[np.int64] | None = None
        if room:
            self._segments.append(self._new_segment(room))

    @classmethod
    def sharing(cls, tokens: Sequence[int], segments: Iterable[Segment], apart: bool = False) -> KVCache:
        """The cache of `tokens`, whose keys and values the segments have, at least one.

        apart: what comes behind them goes into other memory, though there be room.
        """
        joined: list[Segment] = []
        for segment in segments:
            last = joined[-1] if joined else None
            if last is not None and (last.memory, last.end) == (segment.memory, segment.start):
                joined[-1] = Segment(last.memory, last.start, segment.end)
            else:
                joined.append(segment)
        layers, heads, _, width = joined[0].memory.states.shape
        cache = cls._over((layers, heads, width), tokens, joined)
        cache._apart = apart
        return cache

    @classmethod
    def of(cls, tokens: Sequence[int], states: Floats, room: int = 0) -> KVCache:
        """The cache of `tokens`, whose states are copied, with room for `room` more behind them."""
        layers, heads, _, width = states.shape
        memory = Memory(_allocate(layers, heads, len(tokens) + room, width), len(tokens))
        memory.states[:, :, : len(tokens)] = states[:, :, : len(tokens)]
        return cls.sharing(tokens, [Segment(memory, 0, len(tokens))])

    @classmethod
    def _over(cls, shape: tuple[int, int, int], tokens: Sequence[int], segments: list[Segment]) -> KVCache:
        cache = object.__new__(cls)
        cache.tokens, cache._segments = list(tokens), segments
        cache._shape, cache._table, cache._apart = shape, None, False
        cache._room = cache._shared = len(tokens)
        return cache

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def token_bytes(self) -> int:
        """Memory of one token's keys and values."""
        return 4 * math.prod(self._shape)

    @property
    def table(self) -> NDArray[np.int64]:
        """The kernels' `struct segment` of each: address, its memory's capacity and how many tokens it has.

        [segments, 3]. Positions from `len(self)` on may be anything; the last segment may have more room than
        is taken.
        """
        if self._table is None:
            rows = [(each.address, each.memory.capacity, len(each)) for each in self._segments]
            self._table = np.array(rows, np.int64).reshape(-1, 3)
            if rows:
                self._table[-1, 2] = self._segments[-1].memory.capacity - self._segments[-1].start
        return self._table

    def reserve(self, length: int) -> None:
        """Take room for `length` tokens in all: behind the last ones while that is nobody's, or elsewhere."""
        while self._room < length:
            last = self._segments[-1] if self._segments else None
            if last is None or self._apart or not last.end == last.memory.filled < last.memory.capacity:
                self._apart = False
                last = self._new_segment(max(SEGMENT, self._room))
                self._segments.append(last)
                self._table = None
            end = min(last.end + length - self._room, last.memory.capacity)
            self._segments[-1] = Segment(last.memory, last.start, end)
            last.memory.fill(end)
            self._room += end - last.end

    def segments(self, start: int, end: int) -> list[Segment]:
        """Where the tokens from `start` to `end` are, or will be."""
        found: list[Segment] = []
        first = self._room
        for segment in reversed(self._segments):  # the last ones are asked for most
            if first <= start:
                break
            first -= len(segment)
            if first < end:
                found.append(segment.cut(max(start - first, 0), min(end - first, len(segment))))
        return found[::-1]

    def append(self, tokens: Sequence[int], states: Floats) -> None:
        """Append tokens with their states, [num_layers, 2 * num_kv_heads, len(tokens), head_dim]."""
        start, at = len(self), 0
        self.reserve(start + len(tokens))
        for segment in self.segments(start, start + len(tokens)):
            segment.states[:] = states[:, :, at : at + len(segment)]
            at += len(segment)
        self.tokens.extend(tokens)

    def gather(self, room: int = 0) -> Floats:
        """A copy of all states in one piece, and room for `room` tokens behind them."""
        layers, heads, width = self._shape
        copy, at = np.empty((layers, heads, len(self) + room, width), np.float32), 0
        for segment in self.segments(0, len(self)):
            copy[:, :, at : at + len(segment)] = segment.states
            at += len(segment)
        return copy

    def share(self, start: int = 0) -> list[Segment]:
        """The segments of all tokens from `start` on, for others to keep: they are not written again."""
        self._shared = max(self._shared, len(self))
        return self.segments(start, len(self))

    def fork(self, length: int) -> KVCache:
        """Another sequence that begins with the first `length` tokens."""
        if not 0 <= length <= len(self):
            raise ValueError(f"cannot fork {length} tokens of {len(self)}")
        self._shared = max(self._shared, length)
        return self._over(self._shape, self.tokens[:length], self.segments(0, length))

    def truncate(self, length: int) -> None:
        """Forget all but the first `length` tokens, and give back the room behind them."""
        if not 0 <= length <= len(self):
            raise ValueError(f"cannot truncate {len(self)} tokens to {length}")
        del self.tokens[length:]
        while self._room > length:
            last = self._segments.pop()
            less = min(len(last), self._room - length)
            if last.end == last.memory.filled:
                last.memory.filled -= min(less, max(0, self._room - self._shared))
            if less < len(last):
                self._segments.append(last.cut(0, len(last) - less))
            self._room -= less
            self._table = None
        self._shared = min(self._shared, length)

    def _new_segment(self, room: int) -> Segment:
        layers, heads, width = self._shape
        return Segment(Memory(_allocate(layers, heads, room, width)), 0, 0)


def _allocate(*shape: int) -> Floats:
    """Memory that is taken page by page as it is written: numpy's own would take much of it at once.

    Private, for pages that processes may share take the system twice as long; and none of them huge.
    """
    memory = mmap.mmap(-1, 4 * math.prod(shape), flags=mmap.MAP_PRIVATE)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):  # Linux
        with suppress(OSError):  # of a kernel that has no huge pages
            memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, np.float32).reshape(shape)

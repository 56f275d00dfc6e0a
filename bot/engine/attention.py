"""Attention of each sequence's new tokens over its own cache, within one pass of several sequences."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from bot.engine.decoder import Chunk
from bot.engine.shape import Shape

# Up to so many scores of one layer, two batched products beat the blocks of the flash kernel.
_PRODUCTS = 4_000_000


class Attention:
    """One pass's attention. All views into the caches are made once, not once a layer."""

    def __init__(self, shape: Shape, chunks: Sequence[Chunk]) -> None:
        """Makes room in the caches for the chunks' tokens."""
        self._shape = shape
        self._sequences = []
        at = 0
        for chunk in chunks:
            self._sequences.append(_Sequence(shape, chunk, at))
            at += len(chunk.tokens)

    def __call__(self, number: int, states: torch.Tensor) -> torch.Tensor:
        """[rows, heads * head_dim] for layer `number`; `states`: its queries, keys, values, each a head.

        float32 [rows, heads + 2 * kv_heads, head_dim], rotated. Keys and values go into the caches.
        """
        if len(self._sequences) == 1:
            return self._sequences[0](number, states)
        return torch.cat([sequence(number, states) for sequence in self._sequences])


class _Sequence:
    def __init__(self, shape: Shape, chunk: Chunk, at: int) -> None:
        self._rows, self._heads, self._kv_heads = len(chunk.tokens), shape.heads, shape.kv_heads
        self._at, self._width = at, shape.head_dim
        start, end = len(chunk.cache), len(chunk.cache) + self._rows
        chunk.cache.reserve(end)
        states = torch.from_numpy(chunk.cache.states)
        self._new = states[:, :, start:end].unbind(0)
        self._keys = states[:, : shape.kv_heads, :end].unbind(0)
        self._values = states[:, shape.kv_heads :, :end].unbind(0)
        self._scale = shape.head_dim**-0.5
        self._causal = start == 0 and chunk.visible is None
        self._products = self._rows * end * shape.heads <= _PRODUCTS
        self._mask: torch.Tensor | None = None
        if self._rows > 1 and (self._products or not self._causal):
            self._mask = _mask(chunk, start, end)
        if self._mask is not None and self._products:  # a row for each query head of a key's group
            self._mask = self._mask.repeat(shape.heads // shape.kv_heads, 1)[None]

    def __call__(self, number: int, states: torch.Tensor) -> torch.Tensor:
        rows, heads, kv_heads, width = self._rows, self._heads, self._kv_heads, self._width
        own = states[self._at : self._at + rows]
        self._new[number].copy_(own[:, heads:].transpose(0, 1))
        keys, values = self._keys[number], self._values[number]
        queries = own[:, :heads]
        if rows == 1:  # the query heads that share a key are rows of one matrix
            grouped = queries.view(1, kv_heads, heads // kv_heads, width)
            found = F.scaled_dot_product_attention(grouped, keys[None], values[None])
            return found.reshape(1, heads * width)
        if self._products:
            assert self._mask is not None
            grouped = queries.view(rows, kv_heads, -1, width).permute(1, 2, 0, 3).reshape(kv_heads, -1, width)
            scores = torch.baddbmm(self._mask, grouped, keys.transpose(1, 2), alpha=self._scale)
            mixed = torch.bmm(scores.softmax(-1), values).view(kv_heads, -1, rows, width)
            return mixed.permute(2, 0, 1, 3).reshape(rows, heads * width)
        found = F.scaled_dot_product_attention(
            queries.transpose(0, 1)[None],
            keys[None],
            values[None],
            attn_mask=self._mask,
            is_causal=self._causal,
            enable_gqa=True,
        )
        return found[0].transpose(0, 1).reshape(rows, heads * width)


def _mask(chunk: Chunk, start: int, end: int) -> torch.Tensor:
    """float32 [rows, end]: 0 where a token sees another, -inf elsewhere."""
    rows = end - start
    if chunk.visible is None:
        seen = torch.ones(rows, rows, dtype=torch.bool).tril_()
    else:
        seen = torch.from_numpy(chunk.visible)
    mask = torch.zeros(rows, end)
    mask[:, start:].masked_fill_(~seen, float("-inf"))
    return mask

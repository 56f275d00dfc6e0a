"""Attention of each sequence's new tokens over its own cache, within one pass of several sequences."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from bot.engine.config.model_config import ModelConfig
from bot.engine.model.decoder import Chunk

# Up to so many scores of one layer, two batched products beat the blocks of the flash kernel.
_MAX_SCORES = 4_000_000


class Attention:
    """One pass's attention, over copies of the caches in one piece each, made once and not once a layer."""

    def __init__(self, config: ModelConfig, chunks: Sequence[Chunk]) -> None:
        self._sequences = []
        at = 0
        for chunk in chunks:
            self._sequences.append(_Sequence(config, chunk, at))
            at += len(chunk.tokens)

    def __call__(self, number: int, states: torch.Tensor) -> torch.Tensor:
        """[rows, num_heads * head_dim] for layer `number`.

        states: its queries, keys and values, float32 [rows, num_heads + 2 * num_kv_heads, head_dim],
            rotated. Keys and values are kept until `extend_caches`.
        """
        if len(self._sequences) == 1:
            return self._sequences[0](number, states)
        return torch.cat([sequence(number, states) for sequence in self._sequences])

    def extend_caches(self) -> None:
        """Append the chunks' tokens to their caches, once all layers are computed."""
        for sequence in self._sequences:
            sequence.extend_cache()


class _Sequence:
    def __init__(self, config: ModelConfig, chunk: Chunk, at: int) -> None:
        self._rows, self._heads, self._kv_heads = len(chunk.tokens), config.num_heads, config.num_kv_heads
        self._at, self._head_dim = at, config.head_dim
        start, end = len(chunk.cache), len(chunk.cache) + self._rows
        self._chunk = chunk
        states = torch.from_numpy(chunk.cache.gather(room=self._rows))
        self._made = states[:, :, start:end]
        self._new = self._made.unbind(0)
        self._keys = states[:, : config.num_kv_heads, :end].unbind(0)
        self._values = states[:, config.num_kv_heads :, :end].unbind(0)
        self._scale = config.head_dim**-0.5
        self._causal = start == 0 and chunk.mask is None
        self._as_products = self._rows * end * config.num_heads <= _MAX_SCORES
        self._mask: torch.Tensor | None = None
        if self._rows > 1 and (self._as_products or not self._causal):
            self._mask = _mask(chunk, start, end)
        if self._mask is not None and self._as_products:  # a row for each query head of a key's group
            self._mask = self._mask.repeat(config.num_heads // config.num_kv_heads, 1)[None]

    def __call__(self, number: int, states: torch.Tensor) -> torch.Tensor:
        rows, heads, kv_heads, head_dim = self._rows, self._heads, self._kv_heads, self._head_dim
        own = states[self._at : self._at + rows]
        self._new[number].copy_(own[:, heads:].transpose(0, 1))
        keys, values = self._keys[number], self._values[number]
        queries = own[:, :heads]
        if rows == 1:  # the query heads that share a key are rows of one matrix
            grouped = queries.view(1, kv_heads, heads // kv_heads, head_dim)
            attn_out = F.scaled_dot_product_attention(grouped, keys[None], values[None])
            return attn_out.reshape(1, heads * head_dim)
        if self._as_products:
            assert self._mask is not None
            grouped = (
                queries.view(rows, kv_heads, -1, head_dim).permute(1, 2, 0, 3).reshape(kv_heads, -1, head_dim)
            )
            scores = torch.baddbmm(self._mask, grouped, keys.transpose(1, 2), alpha=self._scale)
            attn_out = torch.bmm(scores.softmax(-1), values).view(kv_heads, -1, rows, head_dim)
            return attn_out.permute(2, 0, 1, 3).reshape(rows, heads * head_dim)
        attn_out = F.scaled_dot_product_attention(
            queries.transpose(0, 1)[None],
            keys[None],
            values[None],
            attn_mask=self._mask,
            is_causal=self._causal,
            enable_gqa=True,
        )
        return attn_out[0].transpose(0, 1).reshape(rows, heads * head_dim)

    def extend_cache(self) -> None:
        self._chunk.cache.append(self._chunk.tokens, self._made.numpy())


def _mask(chunk: Chunk, start: int, end: int) -> torch.Tensor:
    """float32 [rows, end], to be added to the scores: 0 where a token attends to another, -inf elsewhere."""
    rows = end - start
    if chunk.mask is None:
        allowed = torch.ones(rows, rows, dtype=torch.bool).tril_()
    else:
        allowed = torch.from_numpy(chunk.mask)
    mask = torch.zeros(rows, end)
    mask[:, start:].masked_fill_(~allowed, float("-inf"))
    return mask

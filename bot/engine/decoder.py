"""One decoder for the Qwen2, Qwen3 and Llama families: token ids and caches in, hidden states out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from bot.engine.attention import Attention, Chunk
from bot.engine.head import Head
from bot.engine.kv_cache import KVCache
from bot.engine.linear import Linear
from bot.engine.shape import Shape

__all__ = ["Chunk", "Decoder"]

_MANY = 32  # tokens in a pass from which reading is arithmetic, not memory


@dataclass
class Layer:
    """One block's weights. `qkv` and `gate_up` are fused along their outputs."""

    attention_norm: torch.Tensor
    qkv: Linear
    out: Linear
    mlp_norm: torch.Tensor
    gate_up: Linear
    down: Linear
    query_norm: torch.Tensor | None = None
    key_norm: torch.Tensor | None = None


class Decoder:
    """The model's layers over caches. Not safe for use from several threads at once."""

    def __init__(
        self, shape: Shape, precision: str, layers: list[Layer], norm: torch.Tensor, head: Head
    ) -> None:
        self.shape, self.precision = shape, precision
        self.threads = self.torch_threads = torch.get_num_threads()
        self._layers, self._norm, self._head = layers, norm, head
        self._rotations = torch.empty(0, shape.head_dim // 2, dtype=torch.complex64)

    def new_cache(self, room: int = 0) -> KVCache:
        """An empty cache with room for `room` tokens."""
        return KVCache(self.shape, room=room)

    @torch.inference_mode()
    def forward(
        self,
        chunks: Sequence[Chunk],
        exact: bool = True,
        last_only: bool = False,
        rows: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """float32 hidden states after the final norm, [tokens of all chunks, hidden], in the order given.

        exact: False allows coarser activations, for callers that only compare labels.
        last_only: only the last token of each chunk has a row, [chunks, hidden].
        rows: only these rows, in their order; the last layer's work for the others is spared.
        """
        attention = Attention(self.shape, chunks)
        positions = [position for chunk in chunks for position in chunk.positions]
        if last_only:
            rows = torch.tensor([len(chunk.tokens) for chunk in chunks]).cumsum(0) - 1
            rows = None if len(rows) == len(positions) else rows
        # Where many tokens are read, the widest projection needs no more than 8-bit activations.
        wide = exact and len(positions) < _MANY
        rotations = self._rotation(max(positions) + 1)[positions][:, None]
        x = self._head.embed([token for chunk in chunks for token in chunk.tokens])
        for number, layer in enumerate(self._layers):
            qkv = layer.qkv(self._normalise(x, layer.attention_norm), exact)
            mixed = attention(number, self._rotate(qkv, layer, rotations))
            if rows is not None and number == len(self._layers) - 1:
                x, mixed = x[rows], mixed[rows]
            x.add_(layer.out(mixed, exact))
            gate, up = layer.gate_up(self._normalise(x, layer.mlp_norm), wide).chunk(2, -1)
            x.add_(layer.down(F.silu(gate).mul_(up), exact))
        for chunk in chunks:
            chunk.cache.tokens.extend(chunk.tokens)
        return self._normalise(x, self._norm)

    @torch.inference_mode()
    def logits(self, hidden: torch.Tensor, rows: torch.Tensor | None = None) -> torch.Tensor:
        """float32 [n, vocabulary], or [n, len(rows)] for the given rows of the head alone."""
        return self._head.logits(hidden, rows)

    def _rotate(self, qkv: torch.Tensor, layer: Layer, rotations: torch.Tensor) -> torch.Tensor:
        """Queries, keys and values a head, [rows, heads + 2 * kv_heads, head_dim], rotated by position."""
        heads, turned = self.shape.heads, self.shape.heads + self.shape.kv_heads
        states = qkv.view(len(qkv), -1, self.shape.head_dim)
        if layer.query_norm is not None and layer.key_norm is not None:
            states[:, :heads] = self._normalise(states[:, :heads], layer.query_norm)
            states[:, heads:turned] = self._normalise(states[:, heads:turned], layer.key_norm)
        pairs = states[:, :turned].view(len(qkv), turned, self.shape.head_dim // 2, 2)
        torch.view_as_complex(pairs).mul_(rotations)
        return states

    def _normalise(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """RMSNorm (Zhang and Sennrich, 2019). torch's own takes twice the time on a few rows."""
        mean: torch.Tensor = torch.linalg.vecdot(x, x).unsqueeze(-1).div_(x.shape[-1])
        return x.mul(mean.add_(self.shape.epsilon).rsqrt_()).mul_(weight)

    def _rotation(self, length: int) -> torch.Tensor:
        """e^(i position frequency) for the first `length` positions (Su et al., RoFormer, 2021)."""
        if length > len(self._rotations):
            frequencies = torch.tensor(self.shape.inverse_frequencies)
            angles = torch.outer(torch.arange(2 * length).float(), frequencies)
            self._rotations = torch.polar(torch.ones_like(angles), angles)
        return self._rotations

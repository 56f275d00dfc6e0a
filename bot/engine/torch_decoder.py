"""One decoder for the Qwen2, Qwen3 and Llama families, in any precision, on torch's kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch.nn import functional as F

from bot.engine.attention import Attention
from bot.engine.decoder import Chunk
from bot.engine.head import Head
from bot.engine.kv_cache import KVCache
from bot.engine.linear import Linear
from bot.engine.shape import Shape
from bot.engine.tensors import Floats, Stored

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


class TorchDecoder:
    """See Decoder. `embedding`, `rows`: see Head; `head`: the same rows, to multiply by all of them."""

    def __init__(
        self,
        shape: Shape,
        precision: str,
        layers: list[Layer],
        norm: torch.Tensor,
        embedding: Stored,
        rows: Stored,
        head: Linear,
    ) -> None:
        self.shape, self.precision = shape, precision
        self.threads = torch.get_num_threads()
        self._layers, self._norm = layers, norm
        self._head = Head(embedding, rows, lambda hidden: head(torch.from_numpy(hidden)).numpy())
        self._rotations = torch.empty(0, shape.head_dim // 2, dtype=torch.complex64)

    def enter_thread(self) -> None:
        """See Decoder.enter_thread."""
        torch.set_num_threads(self.threads)  # torch counts for each thread

    def new_cache(self, room: int = 0) -> KVCache:
        """See Decoder.new_cache."""
        return KVCache(self.shape, room=room)

    @torch.inference_mode()
    def forward(
        self,
        chunks: Sequence[Chunk],
        exact: bool = True,
        last_only: bool = False,
        rows: Sequence[int] | None = None,
    ) -> Floats:
        """See Decoder.forward."""
        attention = Attention(self.shape, chunks)
        positions = [position for chunk in chunks for position in chunk.positions]
        if last_only:
            rows = [end - 1 for end in accumulate(len(chunk.tokens) for chunk in chunks)]
            rows = None if len(rows) == len(positions) else rows
        # Where many tokens are read, the widest projection needs no more than 8-bit activations.
        wide = exact and len(positions) < _MANY
        rotations = self._rotation(max(positions) + 1)[positions][:, None]
        x = torch.from_numpy(self._head.embed([token for chunk in chunks for token in chunk.tokens]))
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
        return self._normalise(x, self._norm).numpy()

    @torch.inference_mode()
    def logits(self, hidden: Floats, rows: Sequence[int] | None = None) -> Floats:
        """See Decoder.logits."""
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

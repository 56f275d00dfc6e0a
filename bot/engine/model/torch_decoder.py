"""One decoder for the Qwen2, Qwen3 and Llama families, in any precision, on torch's kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch.nn import functional as F

from bot.engine.cache.kv_cache import KVCache
from bot.engine.config.arrays import Floats, StoredTensor
from bot.engine.config.model_config import ModelConfig
from bot.engine.model.attention import Attention
from bot.engine.model.decoder import Chunk
from bot.engine.model.lm_head import LMHead
from bot.engine.weights.quantization import Linear

_COMPUTE_BOUND = 32  # tokens in a pass from which arithmetic takes longer than reading the weights


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
        config: ModelConfig,
        precision: str,
        layers: list[Layer],
        norm: torch.Tensor,
        embedding: StoredTensor,
        rows: StoredTensor,
        head: Linear,
    ) -> None:
        self.config, self.precision = config, precision
        self.threads = torch.get_num_threads()
        self._layers, self._norm = layers, norm
        self._head = LMHead(embedding, rows, lambda hidden: head(torch.from_numpy(hidden)).numpy())
        self._rotations = torch.empty(0, config.head_dim // 2, dtype=torch.complex64)

    def enter_thread(self) -> None:
        """See Decoder.enter_thread."""
        torch.set_num_threads(self.threads)  # torch counts for each thread

    def new_cache(self, room: int = 0) -> KVCache:
        """See Decoder.new_cache."""
        return KVCache(self.config, room=room)

    @torch.inference_mode()
    def forward(
        self,
        chunks: Sequence[Chunk],
        exact: bool = True,
        last_only: bool = False,
        rows: Sequence[int] | None = None,
    ) -> Floats:
        """See Decoder.forward."""
        attention = Attention(self.config, chunks)
        positions = [position for chunk in chunks for position in chunk.positions]
        if last_only:
            rows = [end - 1 for end in accumulate(len(chunk.tokens) for chunk in chunks)]
            rows = None if len(rows) == len(positions) else rows
        # In a long prefill the widest projection needs no more than 8-bit activations.
        exact_mlp = exact and len(positions) < _COMPUTE_BOUND
        rotations = self._rotation(max(positions) + 1)[positions][:, None]
        x = torch.from_numpy(self._head.embed([token for chunk in chunks for token in chunk.tokens]))
        for number, layer in enumerate(self._layers):
            qkv = layer.qkv(self._rms_norm(x, layer.attention_norm), exact)
            attn_out = attention(number, self._rotate(qkv, layer, rotations))
            if rows is not None and number == len(self._layers) - 1:
                x, attn_out = x[rows], attn_out[rows]
            x.add_(layer.out(attn_out, exact))
            gate, up = layer.gate_up(self._rms_norm(x, layer.mlp_norm), exact_mlp).chunk(2, -1)
            x.add_(layer.down(F.silu(gate).mul_(up), exact))
        for chunk in chunks:
            chunk.cache.tokens.extend(chunk.tokens)
        return self._rms_norm(x, self._norm).numpy()

    @torch.inference_mode()
    def logits(self, hidden: Floats, rows: Sequence[int] | None = None) -> Floats:
        """See Decoder.logits."""
        return self._head.logits(hidden, rows)

    def _rotate(self, qkv: torch.Tensor, layer: Layer, rotations: torch.Tensor) -> torch.Tensor:
        """Queries, keys and values, [rows, num_heads + 2 * num_kv_heads, head_dim], rotated by position."""
        heads = self.config.num_heads
        rotated = heads + self.config.num_kv_heads
        states = qkv.view(len(qkv), -1, self.config.head_dim)
        if layer.query_norm is not None and layer.key_norm is not None:
            states[:, :heads] = self._rms_norm(states[:, :heads], layer.query_norm)
            states[:, heads:rotated] = self._rms_norm(states[:, heads:rotated], layer.key_norm)
        pairs = states[:, :rotated].view(len(qkv), rotated, self.config.head_dim // 2, 2)
        torch.view_as_complex(pairs).mul_(rotations)
        return states

    def _rms_norm(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """RMSNorm (Zhang and Sennrich, 2019). torch's own takes twice the time on a few rows."""
        mean: torch.Tensor = torch.linalg.vecdot(x, x).unsqueeze(-1).div_(x.shape[-1])
        return x.mul(mean.add_(self.config.rms_norm_eps).rsqrt_()).mul_(weight)

    def _rotation(self, length: int) -> torch.Tensor:
        """e^(i position frequency) for the first `length` positions (Su et al., RoFormer, 2021)."""
        if length > len(self._rotations):
            inv_freq = torch.tensor(self.config.inv_freq)
            angles = torch.outer(torch.arange(2 * length).float(), inv_freq)
            self._rotations = torch.polar(torch.ones_like(angles), angles)
        return self._rotations

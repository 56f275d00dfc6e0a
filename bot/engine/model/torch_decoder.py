"""One decoder for the Qwen2, Qwen3 and Llama families in float32 and bfloat16, on torch's kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

import torch
from torch.nn import functional as F

from bot.engine.cache.kv_cache import KVCache
from bot.engine.config.arrays import Floats, Rows, StoredTensor
from bot.engine.config.model_config import ModelConfig
from bot.engine.model.attention import Attention
from bot.engine.model.decoder import Chunk
from bot.engine.model.lm_head import LMHead
from bot.engine.weights.torch_tensors import as_torch


class Linear:
    """y = x W^T + b by a plain matmul in the weight's own dtype."""

    def __init__(self, part: Mapping[str, StoredTensor]) -> None:
        self.weight = as_torch(part["weight"])
        self.bias = as_torch(part["bias"]) if "bias" in part else None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x.to(self.weight.dtype), self.weight, self.bias).float()


class Layer:
    """One block's weights."""

    def __init__(self, parts: Mapping[str, Mapping[str, StoredTensor]], number: int) -> None:
        at = f"layers.{number}."
        self.query, self.key, self.value, self.out, self.gate, self.up, self.down = (
            Linear(parts[at + name]) for name in ("query", "key", "value", "out", "gate", "up", "down")
        )
        self.attention_norm, self.mlp_norm = (
            as_torch(parts[at + name][""]) for name in ("attention_norm", "mlp_norm")
        )
        self.query_norm, self.key_norm = (
            as_torch(parts[at + name][""]) if at + name in parts else None
            for name in ("query_norm", "key_norm")
        )


class TorchDecoder:
    """See Decoder. `parts`: as `quantize_part` keeps them; `embedding`, `rows`: see LMHead."""

    def __init__(
        self,
        config: ModelConfig,
        precision: str,
        parts: Mapping[str, Mapping[str, StoredTensor]],
        embedding: Rows,
        rows: Rows,
        threads: int,
    ) -> None:
        self.config, self.precision, self.threads = config, precision, threads
        self._layers = [Layer(parts, number) for number in range(config.num_layers)]
        self._norm, head = as_torch(parts["norm"][""]), Linear(parts["head"])
        self._head = LMHead(embedding, rows, lambda hidden: head(torch.from_numpy(hidden)).numpy())
        self._cosines = self._sines = torch.empty(0, config.head_dim // 2)

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
        last_only: bool = False,
        rows: Sequence[int] | None = None,
    ) -> Floats:
        """See Decoder.forward."""
        attention = Attention(self.config, chunks)
        positions = [position for chunk in chunks for position in chunk.positions]
        if last_only:
            rows = [end - 1 for end in accumulate(len(chunk.tokens) for chunk in chunks)]
            rows = None if len(rows) == len(positions) else rows
        self._extend_rotations(max(positions) + 1)
        cosines, sines = (table[positions][:, None] for table in (self._cosines, self._sines))
        x = torch.from_numpy(self._head.embed([token for chunk in chunks for token in chunk.tokens]))
        for number, layer in enumerate(self._layers):
            normed = self._rms_norm(x, layer.attention_norm)
            qkv = torch.cat([layer.query(normed), layer.key(normed), layer.value(normed)], 1)
            states = qkv.view(len(x), -1, self.config.head_dim)
            self._rotate(states, layer, cosines, sines)
            attn_out = attention(number, states)
            if rows is not None and number == len(self._layers) - 1:
                x, attn_out = x[rows], attn_out[rows]
            x.add_(layer.out(attn_out))
            normed = self._rms_norm(x, layer.mlp_norm)
            x.add_(layer.down(F.silu(layer.gate(normed)).mul_(layer.up(normed))))
        attention.extend_caches()
        return self._rms_norm(x, self._norm).numpy()

    @torch.inference_mode()
    def logits(self, hidden: Floats, rows: Sequence[int] | None = None) -> Floats:
        """See Decoder.logits."""
        return self._head.logits(hidden, rows)

    def _rotate(self, states: torch.Tensor, layer: Layer, cosines: torch.Tensor, sines: torch.Tensor) -> None:
        """Turn queries and keys of [rows, num_heads + 2 * num_kv_heads, head_dim] by their positions.

        Numbers i and i + head_dim / 2 of a head are one complex number (Su et al., RoFormer, 2021).
        """
        heads = self.config.num_heads
        rotated = heads + self.config.num_kv_heads
        if layer.query_norm is not None and layer.key_norm is not None:
            states[:, :heads] = self._rms_norm(states[:, :heads], layer.query_norm)
            states[:, heads:rotated] = self._rms_norm(states[:, heads:rotated], layer.key_norm)
        real, imaginary = states[:, :rotated].chunk(2, -1)
        turned = real * cosines - imaginary * sines, imaginary * cosines + real * sines
        states[:, :rotated] = torch.cat(turned, -1)

    def _rms_norm(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """RMSNorm (Zhang and Sennrich, 2019). torch's own takes twice the time on a few rows."""
        mean: torch.Tensor = torch.linalg.vecdot(x, x).unsqueeze(-1).div_(x.shape[-1])
        return x.mul(mean.add_(self.config.rms_norm_eps).rsqrt_()).mul_(weight)

    def _extend_rotations(self, length: int) -> None:
        """Cosines and sines of position times frequency for at least `length` positions."""
        if length > len(self._cosines):
            angles = torch.outer(torch.arange(2 * length).float(), torch.tensor(self.config.inv_freq))
            self._cosines, self._sines = angles.cos(), angles.sin()

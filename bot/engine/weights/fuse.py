"""The projections of a checkpoint as the decoder multiplies them: fused along their outputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from bot.engine.config.model_config import ModelConfig
from bot.engine.weights.checkpoint import Checkpoint, lm_head_name
from bot.engine.weights.torch_tensors import as_torch

_PARTS = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "out": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}
_NORMS = {
    "attention_norm": "input_layernorm",
    "mlp_norm": "post_attention_layernorm",
    "query_norm": "self_attn.q_norm",
    "key_norm": "self_attn.k_norm",
}


@dataclass
class Part:
    """One tensor of the decoder: a projection's weight [outputs, inputs] with its bias, or a norm's weight.

    name: such as `layers.0.qkv`, `layers.0.mlp_norm`, `norm` or `head`. `weight` is float32, but for
    the LM head, which is in the checkpoint's own dtype and may lie in its memory map.
    """

    name: str
    weight: torch.Tensor
    bias: torch.Tensor | None = None

    @property
    def is_projection(self) -> bool:
        """Whether this is a projection's weight, not a norm's."""
        return self.weight.dim() == 2


def fused_parts(checkpoint: Checkpoint, config: ModelConfig) -> Iterator[Part]:
    """Everything but the embedding, one at a time. The checkpoint's memory map is let go in between."""
    for number in range(config.num_layers):
        at, layer = f"model.layers.{number}.", f"layers.{number}."
        for name, source in _NORMS.items():
            if f"{at}{source}.weight" in checkpoint:
                weight = as_torch(checkpoint.get(f"{at}{source}.weight")).float()
                if name in ("query_norm", "key_norm"):
                    weight = _interleave(weight, config.head_dim)
                yield Part(layer + name, weight)
        for name, sources in _PARTS.items():
            weights = [_rows(checkpoint, at + source + ".weight", config) for source in sources]
            biases = [
                _rows(checkpoint, at + source + ".bias", config)
                if at + source + ".bias" in checkpoint
                else torch.zeros(len(weight))
                for source, weight in zip(sources, weights, strict=True)
            ]
            bias = torch.cat(biases)
            yield Part(layer + name, torch.cat(weights), bias if bool(bias.any()) else None)
        checkpoint.release()
    yield Part("norm", as_torch(checkpoint.get("model.norm.weight")).float())
    yield Part("head", as_torch(checkpoint.get(lm_head_name(checkpoint, config))))
    checkpoint.release()


def _rows(checkpoint: Checkpoint, name: str, config: ModelConfig) -> torch.Tensor:
    found = as_torch(checkpoint.get(name)).float()
    return _interleave(found, config.head_dim) if ".q_proj." in name or ".k_proj." in name else found


def _interleave(rows: torch.Tensor, head_dim: int) -> torch.Tensor:
    """Rows (i, i + head_dim / 2) of each head side by side, so that a rotation is one complex product."""
    halves = rows.view(-1, 2, head_dim // 2, *rows.shape[1:])
    return halves.transpose(1, 2).reshape(rows.shape)

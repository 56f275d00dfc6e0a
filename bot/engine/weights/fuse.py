"""The parts of a checkpoint as the decoders take them: queries', keys' and values' projections are one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bot.engine.config.arrays import Floats, StoredTensor
from bot.engine.config.model_config import ModelConfig
from bot.engine.weights.checkpoint import Tensors, lm_head_name

_PROJECTIONS = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "out": ("self_attn.o_proj",),
    "gate": ("mlp.gate_proj",),
    "up": ("mlp.up_proj",),
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

    name: such as `layers.0.qkv`, `layers.0.mlp_norm`, `norm` or `head`. `weight` may lie in the
    checkpoint's memory map; `bias` is None where it is zero.
    """

    name: str
    weight: StoredTensor
    bias: Floats | None = None

    @property
    def is_projection(self) -> bool:
        """Whether this is a projection's weight, not a norm's."""
        return self.weight.data.ndim == 2


def count_parts(config: ModelConfig) -> int:
    """How many parts `fused_parts` yields, without those that not every family has."""
    return config.num_layers * (len(_PROJECTIONS) + 2) + 2


def fused_parts(checkpoint: Tensors, config: ModelConfig) -> Iterator[Part]:
    """Everything but the embedding, one at a time. The checkpoint's memory map is let go in between."""
    for number in range(config.num_layers):
        at, layer = f"model.layers.{number}.", f"layers.{number}."
        for name, source in _NORMS.items():
            if f"{at}{source}.weight" in checkpoint:
                yield Part(layer + name, checkpoint.get(f"{at}{source}.weight"))
        for name, sources in _PROJECTIONS.items():
            weights = [checkpoint.get(f"{at}{source}.weight") for source in sources]
            pairs = zip(sources, weights, strict=True)
            biases = [_bias(checkpoint, at + source, len(weight.data)) for source, weight in pairs]
            bias = np.concatenate(biases)
            yield Part(layer + name, _joined(weights), bias if bias.any() else None)
        checkpoint.release()
    yield Part("norm", checkpoint.get("model.norm.weight"))
    yield Part("head", checkpoint.get(lm_head_name(checkpoint, config)))
    checkpoint.release()


def _bias(checkpoint: Tensors, name: str, outputs: int) -> Floats:
    if f"{name}.bias" in checkpoint:
        return checkpoint.get(f"{name}.bias").rows()
    return np.zeros(outputs, np.float32)


def _joined(weights: list[StoredTensor]) -> StoredTensor:
    if len(weights) == 1:
        return weights[0]
    return StoredTensor(np.concatenate([weight.rows() for weight in weights]), "F32")

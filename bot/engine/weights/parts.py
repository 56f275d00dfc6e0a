"""The parts of a checkpoint as the decoders take them, by names of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bot.engine.config.arrays import Floats, Rows, StoredTensor
from bot.engine.config.model_config import ModelConfig
from bot.engine.weights.checkpoint import Tensors, lm_head_name

_PROJECTIONS = {
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "out": "self_attn.o_proj",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}
_NORMS = {
    "attention_norm": "input_layernorm",
    "mlp_norm": "post_attention_layernorm",
    "query_norm": "self_attn.q_norm",
    "key_norm": "self_attn.k_norm",
}
# What a precision keeps of a part, by names of tensors: see `quantize_part` and `gguf_parts`.
KeptPart = dict[str, StoredTensor]

_OF_SOME_FAMILIES = ("query_norm", "key_norm")


@dataclass
class Part:
    """One tensor of the decoder: a projection's weight [outputs, inputs] with its bias, or a norm's weight.

    name: such as `layers.0.query`, `layers.0.mlp_norm`, `norm` or `head`. `weight` may lie in the
    checkpoint's memory map, that of the head in its file; `bias` is None where it is zero.
    """

    name: str
    weight: Rows
    bias: Floats | None = None

    @property
    def is_projection(self) -> bool:
        """Whether this is a projection's weight, not a norm's."""
        return len(self.weight.shape) == 2


def part_sources(checkpoint: Tensors, config: ModelConfig) -> Iterator[tuple[str, str]]:
    """Each part's name, and the hub's of its tensors without `.weight` or `.bias`; the LM head is last."""
    for number in range(config.num_layers):
        for name, source in {**_NORMS, **_PROJECTIONS}.items():
            found = f"model.layers.{number}.{source}"
            if name not in _OF_SOME_FAMILIES or f"{found}.weight" in checkpoint:
                yield f"layers.{number}.{name}", found
    yield "norm", "model.norm"
    yield "head", lm_head_name(checkpoint, config).removesuffix(".weight")


def decoder_parts(checkpoint: Tensors, config: ModelConfig) -> Iterator[Part]:
    """Everything but the embedding, one at a time. The checkpoint's memory map is let go in between."""
    for name, source in part_sources(checkpoint, config):
        bias = checkpoint.get(f"{source}.bias").rows() if f"{source}.bias" in checkpoint else None
        kept = bias if bias is not None and bias.any() else None
        weight = f"{source}.weight"
        yield Part(name, checkpoint.rows_of(weight) if name == "head" else checkpoint.get(weight), kept)
        if name.endswith(("down", "head")):  # a layer, or all
            checkpoint.release()

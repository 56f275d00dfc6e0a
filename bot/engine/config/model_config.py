"""A model directory's `config.json`; what this engine does not know in it is refused by name."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.engine.errors import EngineError

MODEL_TYPES = ("qwen2", "qwen3", "llama")


@dataclass(frozen=True)
class ModelConfig:
    """What a decoder must know of its model. The fields have the names of `config.json`.

    head_dim: width of one attention head. inv_freq: rotary frequencies, head_dim / 2 of them.
    rope_adjacent: whether rows 2i and 2i + 1 of a head are rotated together, as GGUF stores the llama
    architecture, and not rows i and i + head_dim / 2.
    """

    model_type: str
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int
    rms_norm_eps: float
    max_position_embeddings: int
    tie_word_embeddings: bool
    inv_freq: tuple[float, ...]
    rope_adjacent: bool = False

    @property
    def layer_parameters(self) -> int:
        """How many weights one layer's projections have."""
        attention = self.hidden_size * self.head_dim * 2 * (self.num_heads + self.num_kv_heads)
        return attention + 3 * self.hidden_size * self.intermediate_size

    @property
    def num_parameters(self) -> int:
        """How many weights the model has, but for biases and norms; a tied LM head counts once."""
        embeddings = self.vocab_size * self.hidden_size * (1 if self.tie_word_embeddings else 2)
        return self.num_layers * self.layer_parameters + embeddings


def read_model_config(directory: Path) -> ModelConfig:
    """The config in `config.json`. Raises EngineError naming what this engine does not know."""
    file = directory / "config.json"
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    model_type = found.get("model_type", "")
    if model_type not in MODEL_TYPES:
        raise EngineError(f"{file}: model type {model_type!r} is not one of {', '.join(MODEL_TYPES)}")
    if found.get("hidden_act", "silu") != "silu":
        raise EngineError(f"{file}: activation {found['hidden_act']!r} is not known, only silu")
    if found.get("use_sliding_window"):
        raise EngineError(f"{file}: sliding-window attention is not known; set use_sliding_window to false")
    if found.get("mlp_bias"):
        raise EngineError(f"{file}: a bias in the mlp is not known")
    heads = int(found["num_attention_heads"])
    kv_heads = int(found.get("num_key_value_heads") or heads)
    if heads % kv_heads:
        raise EngineError(f"{file}: {heads} attention heads cannot share {kv_heads} key-value heads")
    head_dim = int(found.get("head_dim") or found["hidden_size"] // heads)
    return ModelConfig(
        model_type=model_type,
        hidden_size=int(found["hidden_size"]),
        num_layers=int(found["num_hidden_layers"]),
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=head_dim,
        intermediate_size=int(found["intermediate_size"]),
        vocab_size=int(found["vocab_size"]),
        rms_norm_eps=float(found.get("rms_norm_eps", 1e-6)),
        max_position_embeddings=int(found.get("max_position_embeddings", 2048)),
        tie_word_embeddings=bool(found.get("tie_word_embeddings", False)),
        inv_freq=tuple(_inv_freq(file, found, head_dim)),
    )


def _inv_freq(file: Path, config: dict[str, Any], head_dim: int) -> list[float]:
    """theta^(-2i/d) (Su et al., RoFormer, 2021), with Llama 3's rescaling of long wavelengths."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    theta = float(rope.get("rope_theta") or config.get("rope_theta") or 10000.0)
    plain = [theta ** (-2 * i / head_dim) for i in range(head_dim // 2)]
    rope_type = rope.get("rope_type") or rope.get("type") or "default"
    if rope_type == "default":
        return plain
    if rope_type == "linear":
        return [frequency / float(rope["factor"]) for frequency in plain]
    if rope_type != "llama3":
        raise EngineError(
            f"{file}: rotary scaling {rope_type!r} is not known; known are default, linear, llama3"
        )
    factor, low, high = (float(rope[key]) for key in ("factor", "low_freq_factor", "high_freq_factor"))
    trained = float(rope["original_max_position_embeddings"])
    scaled = []
    for frequency in plain:
        turns = trained * frequency / (2 * math.pi)
        smooth = min(1.0, max(0.0, (turns - low) / (high - low)))
        scaled.append((1 - smooth) * frequency / factor + smooth * frequency)
    return scaled

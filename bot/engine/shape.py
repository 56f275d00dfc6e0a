"""The shape of a decoder, read from a model directory's `config.json` and refused by name if unknown."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.engine.interface import EngineError

FAMILIES = ("qwen2", "qwen3", "llama")


@dataclass(frozen=True)
class Shape:
    """One decoder's sizes. `inverse_frequencies` has head_dim / 2 entries (rotary positions)."""

    family: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp: int
    vocabulary: int
    epsilon: float
    positions: int
    tied: bool
    inverse_frequencies: tuple[float, ...]

    @property
    def parameters(self) -> int:
        """How many numbers the weights have, but for biases and norms; a tied head counts once."""
        attention = self.hidden * self.head_dim * 2 * (self.heads + self.kv_heads)
        embeddings = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return self.layers * (attention + 3 * self.hidden * self.mlp) + embeddings

    @property
    def cache_width(self) -> int:
        """Numbers in the kv cache for one token of one layer, keys and values together."""
        return 2 * self.kv_heads * self.head_dim


def read_shape(directory: Path) -> Shape:
    """The shape in `config.json`. Raises EngineError naming what this decoder does not know."""
    file = directory / "config.json"
    config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    family = config.get("model_type", "")
    if family not in FAMILIES:
        raise EngineError(f"{file}: model type {family!r} is not one of {', '.join(FAMILIES)}")
    if config.get("hidden_act", "silu") != "silu":
        raise EngineError(f"{file}: activation {config['hidden_act']!r} is not known, only silu")
    if config.get("use_sliding_window"):
        raise EngineError(f"{file}: sliding-window attention is not known; set use_sliding_window to false")
    if config.get("mlp_bias"):
        raise EngineError(f"{file}: a bias in the mlp is not known")
    heads = int(config["num_attention_heads"])
    head_dim = int(config.get("head_dim") or config["hidden_size"] // heads)
    return Shape(
        family=family,
        hidden=int(config["hidden_size"]),
        layers=int(config["num_hidden_layers"]),
        heads=heads,
        kv_heads=int(config.get("num_key_value_heads") or heads),
        head_dim=head_dim,
        mlp=int(config["intermediate_size"]),
        vocabulary=int(config["vocab_size"]),
        epsilon=float(config.get("rms_norm_eps", 1e-6)),
        positions=int(config.get("max_position_embeddings", 2048)),
        tied=bool(config.get("tie_word_embeddings", False)),
        inverse_frequencies=tuple(_inverse_frequencies(file, config, head_dim)),
    )


def _inverse_frequencies(file: Path, config: dict[str, Any], head_dim: int) -> list[float]:
    """theta^(-2i/d) (Su et al., RoFormer, 2021), with Llama 3's rescaling of long wavelengths."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    theta = float(rope.get("rope_theta") or config.get("rope_theta") or 10000.0)
    plain = [theta ** (-2 * i / head_dim) for i in range(head_dim // 2)]
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if kind == "default":
        return plain
    if kind == "linear":
        return [frequency / float(rope["factor"]) for frequency in plain]
    if kind != "llama3":
        raise EngineError(f"{file}: rotary scaling {kind!r} is not known; known are default, linear, llama3")
    factor, low, high = (float(rope[key]) for key in ("factor", "low_freq_factor", "high_freq_factor"))
    trained = float(rope["original_max_position_embeddings"])
    scaled = []
    for frequency in plain:
        turns = trained * frequency / (2 * math.pi)
        smooth = min(1.0, max(0.0, (turns - low) / (high - low)))
        scaled.append((1 - smooth) * frequency / factor + smooth * frequency)
    return scaled

"""Shapes of model that the kernels' decoder is tried with: a family, and what else its configuration says."""

from __future__ import annotations

from typing import Any

# Of each family a shape whose heads and sizes are whole blocks, and one whose are not; and heads that share
# keys by seven, as the starter's do.
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen2": ("qwen2", {"vocab_size": 320, "hidden_size": 128}),
    "qwen3": ("qwen3", {"vocab_size": 320, "hidden_size": 128, "head_dim": 32}),
    "llama": ("llama", {"vocab_size": 320, "hidden_size": 128}),
    "qwen2, uneven": (
        "qwen2",
        {"vocab_size": 283, "hidden_size": 72, "intermediate_size": 100, "num_attention_heads": 6},
    ),
    "qwen2, many heads": (
        "qwen2",
        {"vocab_size": 272, "hidden_size": 112, "num_attention_heads": 14, "num_key_value_heads": 2},
    ),
    "qwen3, wide heads": ("qwen3", {"vocab_size": 272, "hidden_size": 48, "head_dim": 80}),
    "llama, small heads": (
        "llama",
        {"vocab_size": 272, "hidden_size": 40, "num_attention_heads": 5, "num_key_value_heads": 5},
    ),
}

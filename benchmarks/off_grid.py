"""A model that computes the same with other weights: none of them stands on the steps of a quantized file.

A model that comes quantized would be judged too well when it is quantized again: its weights are where the
codes are. Here channels are scaled between two matrices, and the values of each head are rotated, which the
matrix behind them undoes.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from bot.engine.config.model_config import ModelConfig

Tensors = dict[str, torch.Tensor]
_SPREAD = 0.2  # of the logarithms of scales


def off_grid(tensors: Tensors, config: ModelConfig) -> Tensors:
    """The tensors of such a model, by the hub's names."""
    found = {name: tensor.double() for name, tensor in tensors.items()}
    random = torch.Generator().manual_seed(0)
    for number in range(config.num_layers):
        at = f"model.layers.{number}."
        for norm, behind in (
            ("input_layernorm", ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")),
            ("post_attention_layernorm", ("mlp.gate_proj", "mlp.up_proj")),
        ):
            scales = _scales(config.hidden_size, random)
            found[f"{at}{norm}.weight"] *= scales
            for name in behind:
                found[f"{at}{name}.weight"] /= scales
        scales = _scales(config.intermediate_size, random)
        found[f"{at}mlp.up_proj.weight"] *= scales[:, None]
        found[f"{at}mlp.down_proj.weight"] /= scales
        _rotate_values(found, f"{at}self_attn.", config, random)
    return {name: tensor.float() for name, tensor in found.items()}


def _scales(count: int, random: torch.Generator) -> torch.Tensor:
    return torch.exp(_SPREAD * torch.randn(count, generator=random, dtype=torch.float64))


def _rotate_values(found: Tensors, at: str, config: ModelConfig, random: torch.Generator) -> None:
    width, shared = config.head_dim, config.num_heads // config.num_kv_heads
    for head in range(config.num_kv_heads):
        rotation, _ = torch.linalg.qr(torch.randn(width, width, generator=random, dtype=torch.float64))
        own = slice(head * width, (head + 1) * width)
        for part in _those_there(found, (f"{at}v_proj.weight", f"{at}v_proj.bias")):
            found[part][own] = rotation @ found[part][own]
        for query in range(head * shared, (head + 1) * shared):
            columns = slice(query * width, (query + 1) * width)
            found[f"{at}o_proj.weight"][:, columns] = found[f"{at}o_proj.weight"][:, columns] @ rotation.T


def _those_there(found: Tensors, names: Iterable[str]) -> list[str]:
    return [name for name in names if name in found]

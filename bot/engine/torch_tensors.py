"""Tensors of files as torch's and back, without a copy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from bot.engine.tensors import Stored

_NAMES = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int8: "I8",
    torch.uint8: "U8",
}


def as_torch(stored: Stored) -> torch.Tensor:
    """The same memory as a tensor of torch."""
    if stored.type == "BF16":
        return torch.from_numpy(stored.data.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(stored.data)


def all_as_torch(tensors: Mapping[str, Stored]) -> dict[str, torch.Tensor]:
    return {name: as_torch(each) for name, each in tensors.items()}


def as_stored(tensor: torch.Tensor) -> Stored:
    """The same memory, where it is in one piece. Raises KeyError for types that no weight has."""
    name, whole = _NAMES[tensor.dtype], tensor.detach().contiguous()
    if name == "BF16":
        return Stored(whole.view(torch.int16).numpy().view(np.uint16), name)
    return Stored(whole.numpy(), name)

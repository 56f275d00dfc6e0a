"""Tensors of files as torch's and back, without a copy."""

from __future__ import annotations

import numpy as np
import torch

from bot.engine.config.arrays import StoredTensor

_NAMES = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int8: "I8",
    torch.uint8: "U8",
}


def as_torch(stored: StoredTensor) -> torch.Tensor:
    """The same memory as a tensor of torch."""
    if stored.dtype == "BF16":
        return torch.from_numpy(stored.data.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(stored.data)


def from_torch(tensor: torch.Tensor) -> StoredTensor:
    """The same memory, where it is contiguous. Raises KeyError for dtypes that no weight has."""
    name, whole = _NAMES[tensor.dtype], tensor.detach().contiguous()
    if name == "BF16":
        return StoredTensor(whole.view(torch.int16).numpy().view(np.uint16), name)
    return StoredTensor(whole.numpy(), name)

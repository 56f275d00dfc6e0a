"""y = x W^T + b, and what every precision must do for it: become tensors that can be kept, and multiply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch.nn import functional as F

Tensors = Mapping[str, torch.Tensor]


class Linear(Protocol):
    """One projection. `x` is float32 [rows, inputs]; the answer float32 [rows, outputs].

    exact: False allows coarser activations, for a caller that only compares labels.
    """

    def __call__(self, x: torch.Tensor, exact: bool = True) -> torch.Tensor: ...


class Kind(Protocol):
    """How one precision keeps a weight and multiplies by it."""

    @property
    def of_head(self) -> Kind:
        """How the head is kept, from whose rows the next token is chosen."""
        ...

    mapped: bool  # whether `build` uses the tensors as they lie in a memory map, or packs a copy

    def encode(self, weight: torch.Tensor) -> dict[str, torch.Tensor]:
        """What is kept of a weight, [outputs, inputs] of any float type."""
        ...

    def build(self, tensors: Tensors, bias: torch.Tensor | None) -> Linear:
        """The projection from what `encode` gave; `bias` is float32 [outputs]."""
        ...


class DenseLinear:
    """A plain matmul in the weight's own type."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        self.weight = weight
        self.bias = None if bias is None else bias.to(weight.dtype)

    def __call__(self, x: torch.Tensor, exact: bool = True) -> torch.Tensor:
        return F.linear(x.to(self.weight.dtype), self.weight, self.bias).float()


class Dense:
    """fp32 and bf16: the weight itself."""

    mapped = True

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype

    @property
    def of_head(self) -> Kind:
        return self

    def encode(self, weight: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"weight": weight.to(self._dtype).contiguous()}

    def build(self, tensors: Tensors, bias: torch.Tensor | None) -> Linear:
        return DenseLinear(tensors["weight"], bias)

"""What a quantization method is: how a precision keeps a weight and computes y = x W^T + b on torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch.nn import functional as F

Tensors = Mapping[str, torch.Tensor]


class Linear(Protocol):
    """One projection. `x` is float32 [rows, inputs]; the answer float32 [rows, outputs].

    exact: False allows activations quantized to 8 bits, for a caller that only compares labels.
    """

    def __call__(self, x: torch.Tensor, exact: bool = True) -> torch.Tensor: ...


class QuantizationMethod(Protocol):
    """How one precision keeps a weight and multiplies by it."""

    @property
    def for_lm_head(self) -> QuantizationMethod:
        """How the LM head is kept, from whose rows the next token is chosen."""
        ...

    mapped: bool  # whether `build` uses the tensors as they lie in a memory map, or packs a copy

    def quantize(self, weight: torch.Tensor) -> dict[str, torch.Tensor]:
        """What is kept of a weight, [outputs, inputs] of any float dtype."""
        ...

    def build(self, tensors: Tensors, bias: torch.Tensor | None) -> Linear:
        """The projection from what `quantize` gave; `bias` is float32 [outputs]."""
        ...


class DenseLinear:
    """A plain matmul in the weight's own dtype."""

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
    def for_lm_head(self) -> QuantizationMethod:
        return self

    def quantize(self, weight: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"weight": weight.to(self._dtype).contiguous()}

    def build(self, tensors: Tensors, bias: torch.Tensor | None) -> Linear:
        return DenseLinear(tensors["weight"], bias)

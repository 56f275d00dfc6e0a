"""int8 weights, one scale an output channel.

Where this processor multiplies 8-bit integers fast, activations are split into a high and a low part of
7 or 8 bits, so that a product is as exact as with twice the bits. For one token the weights are read
once either way, so the second part is nearly free. Elsewhere torch's weight-only kernel multiplies.
"""

from __future__ import annotations

import warnings
from functools import lru_cache

import torch
from torch.nn import functional as F

from bot.engine.config.torch_kernels import has_fast_int8, has_vnni_kernels
from bot.engine.weights.quantization import Linear, QuantizationMethod, Tensors

_AT_ONCE = 512  # rows quantized at once: an LM head is large, and never all of it in float32
_WIDTH = 32  # the weight-only kernel reads inputs by vectors, past the end of others
_FEW = 8  # rows up to which the weight-only kernel beats unpacking the weight


class Int8:
    """See QuantizationMethod."""

    def __init__(self) -> None:
        self.mapped = not has_fast_int8()

    @property
    def for_lm_head(self) -> QuantizationMethod:
        return self

    def quantize(self, weight: torch.Tensor) -> dict[str, torch.Tensor]:
        codes = torch.empty(weight.shape, dtype=torch.int8)
        scales = torch.empty(len(weight))
        for at in range(0, len(weight), _AT_ONCE):
            some = slice(at, at + _AT_ONCE)
            part = weight[some].float()
            scale = part.abs().amax(1).clamp_(min=1e-12).div_(127)
            codes[some] = part.div(scale[:, None]).round_().to(torch.int8)
            scales[some] = scale
        return {"codes": codes, "scale": scales}

    def build(self, tensors: Tensors, bias: torch.Tensor | None) -> Linear:
        linear = PackedInt8Linear if has_fast_int8() else PlainInt8Linear
        return linear(tensors["codes"], tensors["scale"], bias)


class PackedInt8Linear:
    """The processor's own layout of int8 weights (fbgemm), activations as whole numbers in one or two parts.

    A row's activations are quantized with a scale of its own; the second part is what rounding leaves of
    the first, with a scale smaller by `2 * fine`. The first is rounded here: the kernel adds its zero point
    in float32 before it rounds, so that a value next to a half would go one way there and the other here.
    """

    def __init__(self, weight: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None) -> None:
        zeros = torch.zeros(len(scale), dtype=torch.long)
        with warnings.catch_warnings():  # torch calls these deprecated and has no other way to this kernel
            warnings.simplefilter("ignore", UserWarning)
            quantized = torch._make_per_channel_quantized_tensor(weight, scale.double(), zeros, 0)
        self.packed = torch.ops.quantized.linear_prepack(quantized, None)
        self.bias = bias
        self._multiply = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32.default
        self._fine, self._coarse = _largest_activations()
        self._one = torch.tensor(1.0)
        self._fine_zero, self._coarse_zero = torch.tensor(self._fine + 1), torch.tensor(self._coarse + 1)

    def __call__(self, x: torch.Tensor, exact: bool = True) -> torch.Tensor:
        rows, scale = len(x), x.abs().amax(1, True).clamp_(min=1e-12)
        if not exact:
            scale.div_(self._coarse)
            y: torch.Tensor = self._multiply(x / scale, self._one, self._coarse_zero, self.packed)
        else:
            scale.div_(self._fine)
            parts = x.new_empty(2 * rows, x.shape[1])
            high, low = parts[:rows], parts[rows:]
            quotient = x / scale
            torch.round(quotient, out=high)
            torch.sub(quotient, high, out=low).mul_(2 * self._fine)
            found = self._multiply(parts, self._one, self._fine_zero, self.packed)
            y = found[:rows].add_(found[rows:], alpha=1 / (2 * self._fine))
        y.mul_(scale)
        return y if self.bias is None else y.add_(self.bias)


@lru_cache(maxsize=1)
def _largest_activations() -> tuple[int, int]:
    """The largest quantized activation, (in two parts, in one).

    Without VNNI the kernel adds two products in 16 bits. Unsigned activations up to 127 cannot overflow
    there; in one part a finer scale is worth the few sums that saturate (benchmarks/quality.py).
    """
    return (127, 127) if has_vnni_kernels() else (63, 111)


class PlainInt8Linear:
    """int8 weights as stored (a memory map) and torch's weight-only kernel: correct on any processor."""

    def __init__(self, weight: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None) -> None:
        self.weight, self.scale, self.bias = weight, scale, bias
        self._ones = torch.ones(len(scale), dtype=torch.bfloat16)  # the kernel's own scales are coarse
        self._few = _FEW if weight.shape[1] % _WIDTH == 0 else 0

    def __call__(self, x: torch.Tensor, exact: bool = True) -> torch.Tensor:
        x = x.bfloat16()
        if len(x) <= self._few:
            y = torch._weight_int8pack_mm(x, self.weight, self._ones)
        else:
            y = F.linear(x, self.weight.bfloat16())
        out = y.float().mul_(self.scale)
        return out if self.bias is None else out.add_(self.bias)

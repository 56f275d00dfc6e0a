"""int8 weights, one scale an output channel.

Where this processor multiplies 8-bit integers fast, activations are split into a high and a low 8-bit
part, so that a product is as exact as with 14-bit activations. For one token the weights are read once
either way, so the second part is nearly free. Elsewhere torch's weight-only kernel multiplies.
"""

from __future__ import annotations

import threading
import warnings

import torch
from torch.nn import functional as F

from bot.engine.linear import Linear, Tensors
from bot.engine.processor import fast_int8

_AT_ONCE = 512  # rows quantised at once: a head is large, and never all of it in float32
_FEW = 8  # rows up to which the weight-only kernel beats unpacking the weight


class Int8:
    """See Kind."""

    def __init__(self) -> None:
        self.mapped = not fast_int8()

    def encode(self, weight: torch.Tensor) -> dict[str, torch.Tensor]:
        codes = torch.empty(weight.shape, dtype=torch.int8)
        scales = torch.empty(len(weight))
        for at in range(0, len(weight), _AT_ONCE):
            some = slice(at, at + _AT_ONCE)
            part = weight[some].float()
            scale = part.abs().amax(1).clamp_(min=1e-12).div_(127)
            codes[some] = part.div_(scale[:, None]).round_().to(torch.int8)
            scales[some] = scale
        return {"codes": codes, "scale": scales}

    def build(self, tensors: Tensors, bias: torch.Tensor | None) -> Linear:
        kind = PackedInt8Linear if fast_int8() else PlainInt8Linear
        return kind(tensors["codes"], tensors["scale"], bias)


class _Buffers(threading.local):
    """Space for the split activations of few rows, kept because making it anew costs as much as using it."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int], tuple[torch.Tensor, ...]] = {}

    def take(self, rows: int, width: int) -> tuple[torch.Tensor, ...]:
        """(all, high, low): the last row of `all` pins the kernel's range to [-1, 128/127].

        Its step is then 1/127 whoever shares the batch, and the high part, times 127, is rounded to
        whole numbers.
        """
        found = self._kept.get((rows, width))
        if found is None:
            space = torch.empty(2 * rows + 1, width)
            space[-1].fill_(-1.0)[0] = 128 / 127
            found = space, space[:rows], space[rows : 2 * rows], space[rows:]
            if rows <= _KEPT_ROWS:
                self._kept[rows, width] = found
        return found


_KEPT_ROWS = 48
_buffers = _Buffers()
_INFINITY = float("inf")


class PackedInt8Linear:
    """The processor's own layout of int8 weights (fbgemm), 8-bit activations in one or two parts."""

    def __init__(self, weight: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None) -> None:
        zeros = torch.zeros(len(scale), dtype=torch.long)
        with warnings.catch_warnings():  # torch calls these deprecated and has no other way to this kernel
            warnings.simplefilter("ignore", UserWarning)
            quantised = torch._make_per_channel_quantized_tensor(weight, scale.double(), zeros, 0)
        self.packed = torch.ops.quantized.linear_prepack(quantised, None)
        self.bias = bias
        self._multiply = torch.ops.quantized.linear_dynamic.default

    def __call__(self, x: torch.Tensor, exact: bool = True) -> torch.Tensor:
        rows, width = x.shape
        both, high, low, single = _buffers.take(rows, width)
        scale = torch.linalg.vector_norm(x, _INFINITY, 1, True).clamp_(min=1e-12)
        if not exact:
            torch.div(x, scale, out=low)
            y: torch.Tensor = self._multiply(single, self.packed)[:rows].mul_(scale)
        else:
            torch.div(x, scale, out=high)
            whole = torch.mul(high, 127.0)
            torch.sub(whole, torch.round(whole), out=low)
            found = self._multiply(both, self.packed)
            y = torch.add(found[:rows], found[rows : 2 * rows], alpha=1 / 127).mul_(scale)
        return y if self.bias is None else y.add_(self.bias)


class PlainInt8Linear:
    """int8 weights as stored (a memory map) and torch's weight-only kernel: correct on any processor."""

    def __init__(self, weight: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None) -> None:
        self.weight, self.scale, self.bias = weight, scale, bias
        self._ones = torch.ones(len(scale), dtype=torch.bfloat16)  # the kernel's own scales are coarse

    def __call__(self, x: torch.Tensor, exact: bool = True) -> torch.Tensor:
        x = x.bfloat16()
        if len(x) <= _FEW:
            y = torch._weight_int8pack_mm(x, self.weight, self._ones)
        else:
            y = F.linear(x, self.weight.bfloat16())
        out = y.float().mul_(self.scale)
        return out if self.bias is None else out.add_(self.bias)

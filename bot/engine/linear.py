"""y = x W^T + b in four precisions behind one class each, chosen by `make_linear`.

fp32  torch's own matmul.
bf16  bfloat16 weights, float32 in and out.
int8  one scale an output channel. Where this processor multiplies 8-bit integers fast, activations
      are split into a high and a low 8-bit part, so that a product is as exact as with 15-bit
      activations: for one token the weights are read once either way, so the second part is free.
      A caller that only compares labels may ask for the high part alone (`exact=False`).
int4  groups of 32 along the input, a scale and a zero each; torch's packed kernel for few rows,
      unpacked to bfloat16 once a call for many.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch.nn import functional as F  # noqa: N812  # the field's name for it

GROUP = 32
# From this many rows on, unpacking int4 weights once beats the packed kernel, which is made for few.
UNPACK_ROWS = 160


class Linear(Protocol):
    """One projection. `x` is float32 [rows, inputs]; the answer float32 [rows, outputs]."""

    def __call__(self, x: torch.Tensor, exact: bool = True) -> torch.Tensor: ...


class DenseLinear:
    """fp32 or bf16: a plain matmul in the weight's own type."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        self.weight = weight
        self.bias = None if bias is None else bias.to(weight.dtype)

    def __call__(self, x: torch.Tensor, exact: bool = True) -> torch.Tensor:
        return F.linear(x.to(self.weight.dtype), self.weight, self.bias).float()


class PackedInt8Linear:
    """int8 weights in the processor's own layout (fbgemm), 8-bit activations in one or two parts."""

    def __init__(self, weight: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None) -> None:
        zeros = torch.zeros(len(scale), dtype=torch.long)
        quantised = torch._make_per_channel_quantized_tensor(weight, scale.double(), zeros, 0)
        self.packed = torch.ops.quantized.linear_prepack(quantised, None)
        self.bias = bias

    def __call__(self, x: torch.Tensor, exact: bool = True) -> torch.Tensor:
        rows, width = x.shape
        scale = x.abs().amax(1, keepdim=True).clamp_(min=1e-12).mul_(1 / 127)
        parts = torch.empty(2 * rows + 1 if exact else rows + 1, width)
        # The last row pins the kernel's range to [-127, 128]: its step is then 1, and whole numbers
        # in the other rows survive its quantisation exactly, whoever shares the batch.
        parts[-1].fill_(-127.0)[0] = 128.0
        if not exact:
            torch.div(x, scale, out=parts[:rows])
            y: torch.Tensor = torch.ops.quantized.linear_dynamic(parts, self.packed)[:rows].mul_(scale)
            return y if self.bias is None else y.add_(self.bias)
        high, low = parts[:rows], parts[rows : 2 * rows]
        torch.div(x, scale, out=low)
        torch.round(low, out=high)
        low.sub_(high).mul_(254.0)
        y = torch.ops.quantized.linear_dynamic(parts, self.packed)
        out = torch.add(y[:rows], y[rows : 2 * rows], alpha=1 / 254).mul_(scale)
        return out if self.bias is None else out.add_(self.bias)


class PlainInt8Linear:
    """int8 weights as stored (a memory map), torch's weight-only kernel: correct on any processor."""

    def __init__(self, weight: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None) -> None:
        self.weight, self.bias = weight, bias
        self.scale = scale.to(torch.bfloat16)
        self.exact_scale = scale

    def __call__(self, x: torch.Tensor, exact: bool = True) -> torch.Tensor:
        if len(x) > 8:
            y = F.linear(x.bfloat16(), self.weight.bfloat16()).float() * self.exact_scale
        else:
            ones = torch.ones_like(self.scale)
            y = torch._weight_int8pack_mm(x.bfloat16(), self.weight, ones).float() * self.exact_scale
        return y if self.bias is None else y + self.bias


class Int4Linear:
    """int4 weights in the layout of torch's packed kernel for this processor."""

    def __init__(
        self, packed: torch.Tensor, scales_and_zeros: torch.Tensor, bias: torch.Tensor | None
    ) -> None:
        self.packed, self.scales_and_zeros, self.bias = packed, scales_and_zeros, bias
        self.blocks = _block_rows(packed.shape[0])

    def __call__(self, x: torch.Tensor, exact: bool = True) -> torch.Tensor:
        if len(x) >= UNPACK_ROWS and self.blocks:
            y = x.bfloat16() @ self._unpacked()
        else:
            y = torch._weight_int4pack_mm_for_cpu(x.bfloat16(), self.packed, GROUP, self.scales_and_zeros)
        out = y.float()
        return out if self.bias is None else out.add_(self.bias)

    def _unpacked(self) -> torch.Tensor:
        """bfloat16 [inputs, outputs] from the kernel's layout: blocks of outputs, two halves to a byte."""
        outputs, width = self.packed.shape[0], self.packed.shape[1] * 2
        half = self.blocks // 2
        bytes_ = self.packed.view(outputs // self.blocks, width, half)
        nibbles = torch.cat((bytes_ & 15, bytes_ >> 4), dim=2)  # [blocks, inputs, outputs of a block]
        whole = nibbles.permute(1, 0, 2).reshape(width // GROUP, GROUP, outputs).to(torch.bfloat16)
        scale, zero = self.scales_and_zeros.unbind(-1)  # [groups, outputs] each
        return whole.sub_(8).mul_(scale[:, None]).add_(zero[:, None]).view(width, outputs)


def _block_rows(outputs: int) -> int:
    """Outputs in one block of the packed layout here, or 0 where unpacking is not known to be right."""
    return 64 if _unpacking_checked() and outputs % 64 == 0 else 0


_checked: list[bool] = []


def _unpacking_checked() -> bool:
    """Whether `_unpacked` agrees with this processor's kernel, tried once on a small matrix."""
    if not _checked:
        codes = torch.arange(64 * 64, dtype=torch.int32).view(64, 64).mul(7).remainder(16)
        scales = torch.linspace(0.5, 1.5, 2 * 64 * 2).view(2, 64, 2).to(torch.bfloat16)
        linear = object.__new__(Int4Linear)
        linear.packed = torch._convert_weight_to_int4pack_for_cpu(codes, 1)
        linear.scales_and_zeros, linear.bias, linear.blocks = scales, None, 64
        eye = torch.eye(64, dtype=torch.bfloat16)
        expected = torch._weight_int4pack_mm_for_cpu(eye, linear.packed, GROUP, scales)
        _checked.append(bool((linear._unpacked() - expected).abs().max() < 0.1))
    return _checked[0]


def fast_int8() -> bool:
    """Whether 8-bit activations are the fast way here: x86 with VNNI (or AVX2) through fbgemm."""
    return torch.backends.quantized.engine in (
        "x86",
        "fbgemm",
    ) and torch.backends.cpu.get_cpu_capability() in (
        "AVX2",
        "AVX512",
    )


def choices() -> dict[str, str]:
    """What each precision runs on here, for `doctor`."""
    capability = torch.backends.cpu.get_cpu_capability()
    int8 = "packed 8-bit activations (fbgemm)" if fast_int8() else "weight-only, bfloat16 activations"
    int4 = "packed kernel, bfloat16 activations" + (
        f", unpacked from {UNPACK_ROWS} rows" if _unpacking_checked() else ""
    )
    return {
        "fp32": f"float32 matmul ({capability})",
        "bf16": f"bfloat16 matmul ({capability}, {'native' if native_bf16() else 'emulated'})",
        "int8": f"{int8} ({capability})",
        "int4": f"{int4} ({capability})",
    }


def native_bf16() -> bool:
    """Whether the processor multiplies bfloat16 itself."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and "bf16" in _cpu_flags()


def _cpu_flags() -> str:
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as lines:
            return next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        return ""

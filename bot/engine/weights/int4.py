"""int4 weights in groups along the input, in the layout of torch's packed kernel for this processor.

x86   a scale and a zero a group; the packed kernel for few rows, unpacked to bfloat16 once a call for many.
ARM   a scale a group; KleidiAI's kernels, with 8-bit activations, for any number of rows.
A matrix whose sizes the kernels do not take is kept in int8.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import torch
from torch.nn import functional as F

from bot.engine.config.precision import INT4_GROUP as GROUP
from bot.engine.config.torch_kernels import has_kleidiai_int4
from bot.engine.weights.int8 import Int8
from bot.engine.weights.quantization import Linear, QuantizationMethod, Tensors

BLOCK = 64  # outputs in one block of the packed layout with AVX512
# From this many rows on, unpacking once beats the packed kernel, which is made for few.
UNPACK_ROWS = 64
_RESCORED = 64  # tokens whose logits are computed again from the unquantized LM head
_KNOWN_LAYOUT = "0fc6191a70895982"  # that of AVX512, which `_unpacked` reads; others multiply packed
_AT_ONCE = 1 << 18  # weights quantized at once: what stays in the processor's cache
_SHRINKS = (1.0, 0.94, 0.88, 0.82, 0.75)  # of a group's range: cutting outliers can serve the rest


class Int4:
    """See QuantizationMethod."""

    mapped = True

    def __init__(self) -> None:
        self._int8 = Int8()

    @property
    def for_lm_head(self) -> QuantizationMethod:
        return self

    def quantize(self, weight: torch.Tensor) -> dict[str, torch.Tensor]:
        outputs, inputs = weight.shape
        if outputs % BLOCK or inputs % (2 * GROUP):
            return self._int8.quantize(weight)
        dynamic = has_kleidiai_int4()
        packed, scales, zeros = [], [], []
        for part in torch.split(weight, BLOCK * max(1, _AT_ONCE // (BLOCK * inputs))):
            code, scale, zero = quantize_groups(part.float(), symmetric=dynamic)
            packed.append(code if dynamic else torch._convert_weight_to_int4pack_for_cpu(code.int(), 1))
            scales.append(scale.bfloat16())
            zeros.append(zero.bfloat16())
        together, scale, zero = torch.cat(packed), torch.cat(scales), torch.cat(zeros)
        if dynamic:
            pairs = together[:, ::2] | together[:, 1::2] << 4
            whole = torch.ops.aten._dyn_quant_pack_4bit_weight(pairs, scale, None, GROUP, inputs, outputs)
            return {"dynamic": whole, "size": torch.tensor([inputs, outputs])}
        return {"packed": together, "scales": torch.stack((scale.t(), zero.t()), -1).contiguous()}

    def build(self, tensors: Tensors, bias: torch.Tensor | None) -> Linear:
        if "codes" in tensors:
            return self._int8.build(tensors, bias)
        if "dynamic" in tensors:
            inputs, outputs = tensors["size"].tolist()
            return DynamicInt4Linear(tensors["dynamic"], inputs, outputs, bias)
        return Int4Linear(tensors["packed"], tensors["scales"], bias)


def quantize_groups(weight: torch.Tensor, symmetric: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """w = (code - 8) scale + zero: codes 0..15 as uint8 [outputs, inputs], the others [outputs, groups].

    Of several ranges for each group the one with the least squared error. Symmetric: zeros are 0.
    """
    groups = weight.unflatten(1, (-1, GROUP))  # type: ignore[no-untyped-call]  # torch types it not
    low, high = groups.amin(2, keepdim=True), groups.amax(2, keepdim=True)
    lowest = torch.full_like(low, float("inf"))
    scale, zero = torch.zeros_like(low), torch.zeros_like(low)
    for shrink in _SHRINKS:
        if symmetric:
            peak = torch.where(-low > high, low, high)  # the larger end gets the larger side of -8..7
            step = (peak * (shrink / -8)).bfloat16().float()
            middle = torch.zeros_like(step)
        else:
            step = ((high - low) * (shrink / 15)).bfloat16().float()
            middle = ((high + low) / 2 + step / 2).bfloat16().float()
        step = torch.where(step == 0, torch.full_like(step, 1e-8), step)
        error = (_codes(groups, step, middle).sub_(8).mul_(step).add_(middle) - groups).square_().sum(2, True)
        better = error < lowest
        lowest, scale = torch.where(better, error, lowest), torch.where(better, step, scale)
        zero = torch.where(better, middle, zero)
    codes = _codes(groups, scale, zero).to(torch.uint8).flatten(1)
    return codes, scale.squeeze(2), zero.squeeze(2)


def _codes(groups: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor) -> torch.Tensor:
    return (groups - zero).div_(scale).round_().add_(8).clamp_(0, 15)


class Int4Linear:
    """torch's packed kernel, bfloat16 activations."""

    def __init__(self, packed: torch.Tensor, scales: torch.Tensor, bias: torch.Tensor | None) -> None:
        self.packed, self.scales, self.bias = packed, scales, bias

    def __call__(self, x: torch.Tensor, exact: bool = True) -> torch.Tensor:
        if len(x) >= UNPACK_ROWS and layout() == _KNOWN_LAYOUT:
            y = x.bfloat16() @ self._unpacked()
        else:
            y = torch._weight_int4pack_mm_for_cpu(x.bfloat16(), self.packed, GROUP, self.scales)
        out = y.float()
        return out if self.bias is None else out.add_(self.bias)

    def _unpacked(self) -> torch.Tensor:
        """bfloat16 [inputs, outputs] from the kernel's layout: blocks of outputs, two halves to a byte."""
        outputs, width = self.packed.shape[0], self.packed.shape[1] * 2
        halves = self.packed.view(outputs // BLOCK, width, BLOCK // 2)
        nibbles = torch.cat((halves & 15, halves >> 4), dim=2)  # [blocks, inputs, outputs of a block]
        whole = nibbles.permute(1, 0, 2).reshape(width // GROUP, GROUP, outputs).to(torch.bfloat16)
        scale, zero = self.scales.unbind(-1)  # [groups, outputs] each
        return whole.sub_(8).mul_(scale[:, None]).add_(zero[:, None]).view(width, outputs)


class DynamicInt4Linear:
    """KleidiAI's kernels: activations are quantized to 8 bits a row inside."""

    def __init__(self, packed: torch.Tensor, inputs: int, outputs: int, bias: torch.Tensor | None) -> None:
        self.packed, self.inputs, self.outputs, self.bias = packed, inputs, outputs, bias

    def __call__(self, x: torch.Tensor, exact: bool = True) -> torch.Tensor:
        y: torch.Tensor = torch.ops.aten._dyn_quant_matmul_4bit(
            x, self.packed, GROUP, self.inputs, self.outputs
        )
        return y if self.bias is None else y.add_(self.bias)


class RescoredLinear:
    """An LM head in int4, good for finding the likely tokens: their logits are computed again from `rows`.

    rows: the unquantized weight, [vocab_size, hidden_size].
    """

    def __init__(self, linear: Linear, rows: torch.Tensor) -> None:
        self._linear, self._rows = linear, rows

    def __call__(self, x: torch.Tensor, exact: bool = True) -> torch.Tensor:
        logits = self._linear(x, exact)
        if len(self._rows) <= _RESCORED:
            return logits
        likely = logits.topk(_RESCORED, 1, sorted=False).indices
        rescored = torch.bmm(F.embedding(likely, self._rows).float(), x[:, :, None]).squeeze(2)
        return logits.scatter_(1, likely, rescored)


@lru_cache(maxsize=1)
def layout() -> str:
    """A name for how this processor's kernel lays int4 weights out: the same name, the same layout."""
    codes = torch.arange(64 * 128, dtype=torch.int32).view(64, 128).mul(7).remainder(16)
    if has_kleidiai_int4():
        pairs = (codes[:, ::2] | codes[:, 1::2] << 4).to(torch.uint8)
        scales = torch.linspace(0.5, 1.5, 64 * 4).view(64, 4).bfloat16()
        packed = torch.ops.aten._dyn_quant_pack_4bit_weight(pairs, scales, None, GROUP, 128, 64)
    else:
        packed = torch._convert_weight_to_int4pack_for_cpu(codes, 1)
    return hashlib.sha256(packed.contiguous().view(torch.uint8).numpy().tobytes()).hexdigest()[:16]

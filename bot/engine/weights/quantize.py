"""What a precision keeps of a weight, [outputs, inputs]: plain floats, or blocks of int8 or int4 codes.

Blocks are as `kernels/kernels.h` has them (int8_block, int4_block): 32 outputs by 32 inputs, in which four
inputs of one output stand side by side, then the same four of the next. All processors read the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bot.engine.config.arrays import Floats, StoredTensor, to_bfloat16
from bot.engine.config.precision import QUANTIZED
from bot.engine.weights.block_formats import BLOCK, GROUP, row_shape
from bot.engine.weights.parts import Part

QUAD = 4
# Of a group's range: cutting outliers can serve the rest.
_SHRINKS = (1.0, 0.94, 0.88, 0.82, 0.75)
_AT_ONCE = 1 << 17  # weights quantized at once: what stays in the processor's cache

Codes = NDArray[np.uint8]
KeptPart = dict[str, StoredTensor]


def quantize_part(part: Part, precision: str) -> KeptPart:
    """What `precision` keeps of a part: a norm under the empty name; of a projection its blocks under the
    name of their format (`bindings.FORMATS`), the scales of int8, and the bias.

    The LM head is never in int4: it decides between tokens whose logits are close.
    """
    if not part.is_projection:
        return {"": StoredTensor(part.weight.rows(), "F32")}
    if precision not in QUANTIZED:
        return _dense(part, precision)
    bits = 8 if precision == "int8" or part.name == "head" else 4
    outputs, inputs = part.weight.data.shape
    padded, groups = -(-outputs // BLOCK) * BLOCK, -(-inputs // GROUP)
    kind = "int8" if bits == 8 else "int4"
    blocks = np.empty((padded // BLOCK, *row_shape(kind, inputs)), np.uint8)
    scales = np.zeros(padded, np.float32)
    for some in _slices(padded, groups * GROUP):
        weight = np.zeros((some.stop - some.start, groups * GROUP), np.float32)
        there = part.weight.rows(slice(some.start, min(some.stop, outputs)))
        weight[: len(there), :inputs] = there
        into = slice(some.start // BLOCK, some.stop // BLOCK)
        if bits == 8:
            codes, scales[some] = quantize_int8(weight)
            blocks[into] = pack_int8(codes)
        else:
            blocks[into] = pack_int4(*quantize_int4(weight))
    kept = {kind: StoredTensor(blocks, "U8")}
    if bits == 8:
        kept["scales"] = StoredTensor(scales, "F32")
    if part.bias is not None:
        kept["bias"] = StoredTensor(np.pad(part.bias, (0, padded - outputs)), "F32")
    return kept


def quantize_int8(weight: Floats) -> tuple[NDArray[np.int8], Floats]:
    """weight = code * scale: codes -127..127 [outputs, inputs], a scale for each output."""
    scales: Floats = np.maximum(np.abs(weight).max(1), np.float32(1e-12)) / np.float32(127)
    return np.rint(weight / scales[:, None]).astype(np.int8), scales


def quantize_int4(weight: Floats) -> tuple[Codes, NDArray[np.uint16]]:
    """weight = (code - 8) * scale: codes 0..15 [outputs, inputs], bfloat16 scales [outputs, groups].

    Of several ranges for each group the one with the least squared error.
    """
    groups = weight.reshape(len(weight), -1, GROUP)
    low, high = groups.min(2, keepdims=True), groups.max(2, keepdims=True)
    peak = np.where(-low > high, low, high)  # the larger end gets the larger side of -8..7
    least = np.full_like(low, np.inf)
    scale = np.zeros_like(low)
    for shrink in _SHRINKS:
        step = _nearest_bfloat16(peak * np.float32(shrink / -8))
        step = np.where(step == 0, np.float32(1e-8), step)
        error = (_int4_codes(groups, step) - 8) * step - groups
        squared = np.einsum("ogi,ogi->og", error, error)[:, :, None]
        better = squared < least
        least, scale = np.where(better, squared, least), np.where(better, step, scale)
    return _int4_codes(groups, scale).astype(np.uint8).reshape(weight.shape), to_bfloat16(scale[:, :, 0])


def pack_int8(codes: NDArray[np.int8]) -> NDArray[np.uint8]:
    """[outputs / 32, inputs / 32, 1024] of codes [outputs, inputs], both multiples of 32."""
    quads = _quads(codes)
    return quads.view(np.uint8).reshape(*quads.shape[:2], -1)


def pack_int4(codes: Codes, scales: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """[outputs / 32, inputs / 32, 576] of codes [outputs, inputs], and scales [outputs, inputs / 32]."""
    quads = _quads(codes)
    pairs = quads[:, :, ::2] | quads[:, :, 1::2] << 4
    beside = scales.reshape(-1, BLOCK, scales.shape[1]).transpose(0, 2, 1)
    first = np.ascontiguousarray(beside).view(np.uint8).reshape(*quads.shape[:2], -1)
    return np.concatenate((first, pairs.reshape(*quads.shape[:2], -1)), 2)


def _quads(codes: NDArray[np.generic]) -> NDArray[np.uint8]:
    """[outputs / 32, inputs / 32, quads of a group, 32, 4]."""
    outputs, inputs = codes.shape
    apart = codes.reshape(outputs // BLOCK, BLOCK, inputs // GROUP, GROUP // QUAD, QUAD)
    return np.ascontiguousarray(apart.transpose(0, 2, 3, 1, 4)).view(np.uint8)


def _slices(outputs: int, inputs: int) -> Iterator[slice]:
    """Slices of whole blocks, few enough weights to be quantized at once."""
    step = max(1, _AT_ONCE // (BLOCK * inputs)) * BLOCK
    return (slice(at, min(at + step, outputs)) for at in range(0, outputs, step))


def _int4_codes(groups: Floats, scale: Floats) -> Floats:
    codes: Floats = np.clip(np.rint(groups / scale) + 8, 0, 15)
    return codes


def _nearest_bfloat16(numbers: Floats) -> Floats:
    return (to_bfloat16(numbers).astype(np.uint32) << 16).view(np.float32)


def _dense(part: Part, precision: str) -> dict[str, StoredTensor]:
    """The weight itself, in float32 or bfloat16."""
    kept = {"weight": part.weight.rows()} | ({} if part.bias is None else {"bias": part.bias})
    if precision == "fp32":
        return {name: StoredTensor(numbers, "F32") for name, numbers in kept.items()}
    return {name: StoredTensor(to_bfloat16(numbers), "BF16") for name, numbers in kept.items()}

"""What a precision keeps of a weight, [outputs, inputs]: plain floats, or blocks of int8 codes.

Blocks are as `kernels/kernels.h` has them (int8_block): 32 outputs by 32 inputs, in which four inputs of one
output stand side by side, then the same four of the next. All processors read the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bot.engine.config.arrays import Floats, StoredTensor, to_bfloat16
from bot.engine.weights.block_formats import BLOCK, GROUP, row_shape
from bot.engine.weights.parts import KeptPart, Part

QUAD = 4
_AT_ONCE = 1 << 17  # weights quantized at once: what stays in the processor's cache


def quantize_part(part: Part, precision: str) -> KeptPart:
    """What `precision` keeps of a part: a norm under the empty name; of a projection in int8 its blocks under
    that name, their scales and the bias; in fp32 and bf16 the weight itself."""
    if not part.is_projection:
        return {"": StoredTensor(part.weight.rows(range(part.weight.shape[0])), "F32")}
    if precision != "int8":
        return _dense(part, precision)
    outputs, inputs = part.weight.shape
    padded, groups = -(-outputs // BLOCK) * BLOCK, -(-inputs // GROUP)
    blocks = np.empty((padded // BLOCK, *row_shape("int8", inputs)), np.uint8)
    scales = np.zeros(padded, np.float32)
    for some in _slices(padded, groups * GROUP):
        weight = np.zeros((some.stop - some.start, groups * GROUP), np.float32)
        there = part.weight.rows(range(some.start, min(some.stop, outputs)))
        weight[: len(there), :inputs] = there
        codes, scales[some] = quantize_int8(weight)
        blocks[some.start // BLOCK : some.stop // BLOCK] = pack_int8(codes)
    kept = {"int8": StoredTensor(blocks, "U8"), "scales": StoredTensor(scales, "F32")}
    if part.bias is not None:
        kept["bias"] = StoredTensor(np.pad(part.bias, (0, padded - outputs)), "F32")
    return kept


def quantize_int8(weight: Floats) -> tuple[NDArray[np.int8], Floats]:
    """weight = code * scale: codes -127..127 [outputs, inputs], a scale for each output."""
    scales: Floats = np.maximum(np.abs(weight).max(1), np.float32(1e-12)) / np.float32(127)
    return np.rint(weight / scales[:, None]).astype(np.int8), scales


def pack_int8(codes: NDArray[np.int8]) -> NDArray[np.uint8]:
    """[outputs / 32, inputs / 32, 1024] of codes [outputs, inputs], both multiples of 32."""
    quads = _quads(codes)
    return quads.view(np.uint8).reshape(*quads.shape[:2], -1)


def _quads(codes: NDArray[np.generic]) -> NDArray[np.uint8]:
    """[outputs / 32, inputs / 32, quads of a group, 32, 4]."""
    outputs, inputs = codes.shape
    apart = codes.reshape(outputs // BLOCK, BLOCK, inputs // GROUP, GROUP // QUAD, QUAD)
    return np.ascontiguousarray(apart.transpose(0, 2, 3, 1, 4)).view(np.uint8)


def _slices(outputs: int, inputs: int) -> Iterator[slice]:
    """Slices of whole blocks, few enough weights to be quantized at once."""
    step = max(1, _AT_ONCE // (BLOCK * inputs)) * BLOCK
    return (slice(at, min(at + step, outputs)) for at in range(0, outputs, step))


def _dense(part: Part, precision: str) -> KeptPart:
    """The weight itself, in float32 or bfloat16."""
    weight = part.weight.rows(range(part.weight.shape[0]))
    kept = {"weight": weight} | ({} if part.bias is None else {"bias": part.bias})
    if precision == "fp32":
        return {name: StoredTensor(numbers, "F32") for name, numbers in kept.items()}
    return {name: StoredTensor(to_bfloat16(numbers), "BF16") for name, numbers in kept.items()}

"""What int8 and int4 keep of a weight is as near to it as the bits allow, and lies as the kernels read it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bot.engine.config.arrays import Floats, StoredTensor
from bot.engine.config.precision import QUANTIZED
from bot.engine.weights.parts import Part
from bot.engine.weights.quantize import GROUP, quantize_int4, quantize_int8, quantize_part

# The norm of the error to that of the weight. Rounding normal numbers gives 0.0084 and 0.076.
ERROR = {"int8": 0.012, "int4": 0.1}


def weights(outputs: int, inputs: int) -> Floats:
    """As a trained projection has them: small, and some outputs larger than others."""
    random = np.random.default_rng(outputs + inputs)
    sizes = random.uniform(0.01, 0.04, (outputs, 1))
    return (random.standard_normal((outputs, inputs)) * sizes).astype(np.float32)


def bfloats(bits: NDArray[np.uint16]) -> Floats:
    return (bits.astype(np.uint32) << 16).view(np.float32)


def read_back(kept: dict[str, StoredTensor], outputs: int, inputs: int) -> Floats:
    """The weight that blocks stand for, a number at a time, as kernels.h describes them."""
    found = np.zeros((outputs, inputs), np.float32)
    blocks = next(iter(kept.values())).data
    for output, column in np.ndindex(outputs, inputs):
        block = blocks[output // 32, column // 32]
        row, quad, place = output % 32, column % 32 // 4, column % 4
        if "scales" in kept:
            code = block.view(np.int8)[(quad * 32 + row) * 4 + place]
            found[output, column] = code * kept["scales"].data[output]
        else:
            both = block[64:][(quad // 2 * 32 + row) * 4 + place]
            code = int(both >> 4 if quad % 2 else both & 15) - 8
            found[output, column] = code * bfloats(block[:64].view(np.uint16))[row]
    return found


@pytest.mark.parametrize(("outputs", "inputs"), [(64, 96), (70, 100), (17, 64), (33, 48), (1, 1)])
@pytest.mark.parametrize("precision", QUANTIZED)
def test_blocks_hold_the_weight_whatever_its_shape(precision: str, outputs: int, inputs: int) -> None:
    weight = weights(outputs, inputs)
    kept = quantize_part(Part("layers.0.out", StoredTensor(weight, "F32")), precision)
    found = read_back(kept, outputs, inputs)
    assert np.linalg.norm(found - weight) < ERROR[precision] * np.linalg.norm(weight)


@pytest.mark.parametrize("precision", QUANTIZED)
def test_what_is_beyond_the_weight_is_nothing(precision: str) -> None:
    kept = quantize_part(Part("layers.0.out", StoredTensor(weights(33, 40), "F32")), precision)
    assert kept[precision].data.shape[:2] == (2, 2)
    beyond = read_back(kept, 64, 64)
    assert not beyond[33:].any()
    assert not beyond[:, 40:].any()


def test_the_head_keeps_8_bits() -> None:
    kept = quantize_part(Part("head", StoredTensor(weights(64, 64), "F32")), "int4")
    assert kept.keys() == {"int8", "scales"}


def test_a_bias_is_kept_for_whole_blocks() -> None:
    bias = np.linspace(-2, 2, 40, dtype=np.float32)
    kept = quantize_part(Part("layers.0.query", StoredTensor(weights(40, 32), "F32"), bias), "int8")
    assert np.array_equal(kept["bias"].data[:40], bias)
    assert not kept["bias"].data[40:].any()
    assert len(kept["bias"].data) == len(kept["scales"].data) == 64


def test_int8_uses_its_whole_range() -> None:
    codes, scales = quantize_int8(weights(40, 96))
    assert (np.abs(codes.astype(int)).max(1) == 127).all()
    assert (scales > 0).all()
    assert not quantize_int8(np.zeros((2, 32), np.float32))[0].any()


def test_int4_finds_a_better_range_than_the_largest_number_s() -> None:
    weight = weights(64, 256)
    weight[:, ::GROUP] *= 3  # one outlier in each group
    codes, halves = quantize_int4(weight)
    groups = weight.reshape(64, -1, GROUP)
    peaks = np.take_along_axis(groups, np.abs(groups).argmax(2, keepdims=True), 2)
    plain = np.clip(np.rint(groups / (peaks / -8)), -8, 7) * (peaks / -8)
    found = (codes.astype(np.float32) - 8).reshape(groups.shape) * bfloats(halves)[:, :, None]
    assert np.linalg.norm(found - groups) < 0.97 * np.linalg.norm(plain - groups)


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("precision", ["fp32", "bf16", *QUANTIZED])
def test_any_float_type_is_taken_and_left_as_it_was(precision: str, dtype: str) -> None:
    weight = weights(64, 96)
    stored = {
        "F32": weight,
        "F16": weight.astype(np.float16),
        "BF16": (weight.view(np.uint32) >> 16).astype(np.uint16),
    }[dtype]
    before = stored.copy()
    kept = quantize_part(Part("layers.0.up", StoredTensor(stored, dtype)), precision)
    assert np.array_equal(stored, before)
    found = kept["weight"].rows() if "weight" in kept else read_back(kept, 64, 96)
    assert np.linalg.norm(found - weight) < 0.1 * np.linalg.norm(weight)

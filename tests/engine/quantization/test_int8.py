"""What int8 keeps of a weight is as near to it as the bits allow, and lies as the kernels read it."""

from __future__ import annotations

import numpy as np
import pytest

from bot.engine.config.arrays import Floats, StoredTensor
from bot.engine.quantization.quantize import quantize_int8, quantize_part
from bot.engine.weights.parts import Part

# The norm of the error to that of the weight. Rounding normal numbers gives 0.0084.
ERROR = 0.012


def weights(outputs: int, inputs: int) -> Floats:
    """As a trained projection has them: small, and some outputs larger than others."""
    random = np.random.default_rng(outputs + inputs)
    sizes = random.uniform(0.01, 0.04, (outputs, 1))
    return (random.standard_normal((outputs, inputs)) * sizes).astype(np.float32)


def read_back(kept: dict[str, StoredTensor], outputs: int, inputs: int) -> Floats:
    """The weight that blocks stand for, a number at a time, as kernels.h describes them."""
    found = np.zeros((outputs, inputs), np.float32)
    blocks = kept["int8"].data
    for output, column in np.ndindex(outputs, inputs):
        block = blocks[output // 32, column // 32]
        row, quad, place = output % 32, column % 32 // 4, column % 4
        code = block.view(np.int8)[(quad * 32 + row) * 4 + place]
        found[output, column] = code * kept["scales"].data[output]
    return found


@pytest.mark.parametrize(("outputs", "inputs"), [(64, 96), (70, 100), (17, 64), (33, 48), (1, 1)])
def test_blocks_hold_the_weight_whatever_its_shape(outputs: int, inputs: int) -> None:
    weight = weights(outputs, inputs)
    kept = quantize_part(Part("layers.0.out", StoredTensor(weight, "F32")), "int8")
    found = read_back(kept, outputs, inputs)
    assert np.linalg.norm(found - weight) < ERROR * np.linalg.norm(weight)


def test_what_is_beyond_the_weight_is_nothing() -> None:
    kept = quantize_part(Part("layers.0.out", StoredTensor(weights(33, 40), "F32")), "int8")
    assert kept["int8"].data.shape[:2] == (2, 2)
    beyond = read_back(kept, 64, 64)
    assert not beyond[33:].any()
    assert not beyond[:, 40:].any()


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


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
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
    assert np.linalg.norm(found - weight) < ERROR * np.linalg.norm(weight)

"""Weights to a GGUF file's blocks: near to the weights, and the same bytes on every processor."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels_driver import Driver

from bot.engine.config.arrays import Floats
from bot.engine.kernels.quantizer import FORMATS_MADE, Quantizer
from bot.engine.weights.block_formats import GGUF_FORMATS

# The norm of the error to that of normal weights. Formats with one scale for a group and the weights' whole
# range as that of the codes lose 0.042, 0.0053, 0.078 and 0.019.
LOST = {"Q5_0": 0.0405, "Q8_0": 0.0054, "Q4_K": 0.0705, "Q6_K": 0.0168}
# Codes from one end to the other: a weight within its block's range is at most half a step from one.
CODES = {"Q5_0": 31, "Q8_0": 254, "Q4_K": 15, "Q6_K": 63}


def read_back(blocks: Floats, name: str) -> Floats:
    """The numbers that a file's blocks stand for, as the format's own library reads them."""
    found: Floats = gguf.dequantize(blocks, gguf.GGMLQuantizationType[name])
    return found


def lost(weights: Floats, name: str) -> float:
    found = read_back(Quantizer().quantize(weights, name), name)
    return float(np.linalg.norm(found - weights) / np.linalg.norm(weights))


@pytest.mark.parametrize("name", FORMATS_MADE)
@pytest.mark.parametrize("size", [1e-3, 0.02, 3.0])
def test_little_is_lost_of_normal_weights(name: str, size: float) -> None:
    weights = np.random.default_rng(3).standard_normal((64, 1024)).astype(np.float32) * np.float32(size)
    assert lost(weights, name) < LOST[name] * (1.02 if size < 0.01 else 1)  # float16 has fewer bits there


def rounded_in_range(weights: Floats, name: str) -> Floats:
    """Groups of weights rounded so that their largest gets the last code, without any search."""
    groups = weights.reshape(len(weights), -1, 16 if name == "Q6_K" else 32)
    low, high = groups.min(2, keepdims=True), groups.max(2, keepdims=True)
    if name == "Q4_K":
        step = (high - low) / 15
        return (np.rint((groups - low) / step) * step + low).reshape(weights.shape)
    most = CODES[name] // 2
    step = np.where(-low > high, low, high) / -(most + 1)
    return (np.clip(np.rint(groups / step), -most - 1, most) * step).reshape(weights.shape)


@pytest.mark.parametrize(("name", "saved"), [("Q4_K", 0.08), ("Q5_0", 0.03), ("Q6_K", 0.06)])
def test_less_is_lost_than_without_the_search(name: str, saved: float) -> None:
    """The scale that loses least cuts off a little of the largest weights."""
    weights = np.random.default_rng(4).standard_t(4, (64, 1024)).astype(np.float32)
    plain = np.linalg.norm(rounded_in_range(weights, name) - weights) / np.linalg.norm(weights)
    assert lost(weights, name) < (1 - saved) * plain


@pytest.mark.parametrize("name", FORMATS_MADE)
@pytest.mark.parametrize("number", [0.0, 0.5, -3.0, 7e-5, 1000.0])
def test_weights_that_are_all_alike_stay_so(name: str, number: float) -> None:
    found = read_back(Quantizer().quantize(np.full((4, 256), number, np.float32), name), name)
    assert np.abs(found - number).max() <= 0.02 * abs(number)


@settings(max_examples=60)
@given(
    name=st.sampled_from(FORMATS_MADE),
    seed=st.integers(0, 1 << 32),
    exponent=st.floats(-5, 3),
    sparse=st.booleans(),
    shift=st.sampled_from([0.0, 0.0, 2.0, -2.0]),
)
def test_no_weight_is_further_off_than_a_coarse_step(
    name: str, seed: int, exponent: float, sparse: bool, shift: float
) -> None:
    rng = np.random.default_rng(seed)
    weights = (rng.standard_normal((8, 512)) + shift) * 10.0**exponent
    weights = (weights * (rng.random(weights.shape) < 0.1) if sparse else weights).astype(np.float32)
    reach = weights.reshape(8, -1, GGUF_FORMATS[name].inputs)
    step = 2 * np.abs(reach).max(2, keepdims=True) / CODES[name] + 6e-8 * CODES[name]
    found = read_back(Quantizer().quantize(weights, name), name).reshape(reach.shape)
    assert (np.abs(found - reach) <= 2 * step).all()


@pytest.mark.parametrize("name", FORMATS_MADE)
def test_rows_that_are_no_whole_blocks_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="rows of 48"):
        Quantizer().quantize(np.zeros((2, 48), np.float32), name)


def test_a_format_that_is_not_made_is_refused() -> None:
    with pytest.raises(ValueError, match="Q5_K is not made"):
        Quantizer().quantize(np.zeros((2, 256), np.float32), "Q5_K")


@pytest.mark.emulators
@pytest.mark.parametrize("name", FORMATS_MADE)
def test_every_processor_makes_the_same_bytes(drivers: list[Driver], name: str) -> None:
    rng = np.random.default_rng(7)
    weights = rng.standard_t(4, (24, 512)).astype(np.float32) * rng.choice([1e-3, 0.02, 5.0], (24, 1))
    weights[:3] = [[0.0], [1e-30], [-2.0]]
    weights[3, ::7], weights[4, 5], weights[5, 6] = 0.0, np.nan, -np.inf  # no number: anything, but no fault
    weights = weights.astype(np.float32)
    expected = Quantizer(threads=1).quantize(weights, name)
    for driver in drivers:
        for threads in (1, 3):
            assert driver.quantize(weights, name, threads).tobytes() == expected.tobytes(), driver.kernels

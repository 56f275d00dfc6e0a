"""A projection is as near to float32 with nothing rounded as its bits allow, beside outliers too."""

from __future__ import annotations

import numpy as np
import pytest

from bot.engine.config.arrays import Floats, StoredTensor
from bot.engine.kernels.bindings import ThreadPool, choose_kernels, runnable
from bot.engine.kernels.decoder import Projection, matrix_of
from bot.engine.quantization.quantize import quantize_part
from bot.engine.weights.parts import Part

INPUTS, OUTPUTS = 896, 640
# The largest error of a row to its norm. Rounding normal weights gives 0.0084, and activations of 8 bits
# 0.006 more.
ERROR = 0.012
# Beside an outlier of 60 a group is rounded to half a unit, about as large as its other activations are.
BESIDE_OUTLIERS = 0.02


def activations(rows: int, inputs: int, outliers: bool) -> Floats:
    """As a decoder has them: a few channels, some side by side, may be far larger than all others."""
    x = np.random.default_rng(rows).standard_normal((rows, inputs)).astype(np.float32)
    if outliers:
        x[:, [3, 4, 5, inputs // 2, inputs - 1]] += 60
    return x


def error(found: Floats, expected: Floats) -> float:
    off = np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)
    return float(np.nan_to_num(off, nan=np.inf).max())


@pytest.mark.parametrize(("outputs", "inputs"), [(OUTPUTS, INPUTS), (70, 100), (17, 64), (128, 30)])
@pytest.mark.parametrize("kernels", runnable())
def test_the_error_is_what_the_bits_allow(kernels: str, outputs: int, inputs: int) -> None:
    random = np.random.default_rng(outputs + inputs)
    sizes = random.uniform(0.01, 0.04, (outputs, 1))  # some outputs larger than others
    weight = (random.standard_normal((outputs, inputs)) * sizes).astype(np.float32)
    bias = np.linspace(-2, 2, outputs, dtype=np.float32)
    kept = quantize_part(Part("layers.0.query", StoredTensor(weight, "F32"), bias), "int8")
    project = Projection(choose_kernels(kernels), ThreadPool(2), matrix_of(kept, outputs, inputs))
    for rows in (1, 2, 7, 40, 400):
        for outliers, bound in ((False, ERROR), (True, BESIDE_OUTLIERS)):
            x = activations(rows, inputs, outliers)
            kept_x = x.copy()
            assert error(project(x), x @ weight.T + bias) < bound
            assert np.array_equal(x, kept_x), "what is multiplied stays as it was"

"""Products with quantized weights, by every processor's kernels, against the same numbers in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels_driver import Driver, FileMatrix, Floats, Matrix, OwnMatrix, supported
from numpy.typing import NDArray

from bot.engine.weights.block_formats import GGUF_FORMATS

pytestmark = pytest.mark.emulators

VALUES: dict[str, Callable[[np.random.Generator, tuple[int, int]], object]] = {
    "usual": lambda rng, shape: rng.normal(size=shape),
    "an outlier in some groups": lambda rng, shape: (
        rng.normal(size=shape) * 1000.0 ** (rng.random(shape) < 0.02)
    ),
    "zeros": lambda rng, shape: np.zeros(shape),
    "mostly zeros": lambda rng, shape: rng.normal(size=shape) * (rng.random(shape) < 0.05),
    "halves, to be rounded to even": lambda rng, shape: rng.integers(-254, 255, shape) / 2,
    "denormal": lambda rng, shape: rng.normal(size=shape) * 1e-40,
    "as small as is kept": lambda rng, shape: rng.normal(size=shape) * 1e-28,
    "large": lambda rng, shape: rng.normal(size=shape) * 1e25,
    "the largest codes": lambda rng, shape: rng.choice([-3.0, 3.0], shape),
}


FORMATS = ("int8", *GGUF_FORMATS)


def random_matrix(rng: np.random.Generator, format: str, outputs: int, inputs: int, bias: bool) -> Matrix:
    """All codes, of both signs and both ends, and scales of many sizes.

    A file's rows have whole blocks: `inputs` is rounded up to them.
    """
    own_bias = rng.normal(size=outputs).astype(np.float32) if bias else None
    if format in GGUF_FORMATS:
        return FileMatrix(format, own_bias, random_rows(rng, format, outputs, inputs))
    codes = rng.integers(-127, 128, (outputs, inputs))
    return OwnMatrix(format, own_bias, codes, np.exp(rng.normal(size=outputs)).astype(np.float32))


def random_rows(rng: np.random.Generator, format: str, outputs: int, inputs: int) -> NDArray[np.uint8]:
    """Any bytes are blocks, but that float16 scales of them must be numbers."""
    block = GGUF_FORMATS[format]
    rows = rng.integers(0, 256, (outputs, -(-inputs // block.inputs), block.size), dtype=np.uint8)
    for at in (0, 2) if block.scale_at is None else (block.scale_at,):
        sizes = rng.choice([1, -1], rows.shape[:2]) * np.exp(rng.normal(size=rows.shape[:2]))
        rows[:, :, at : at + 2] = sizes.astype("<f2")[..., None].view(np.uint8)
    return rows.reshape(outputs, -1)


def assert_right(driver: Driver, matrix: Matrix, x: Floats, found: Floats) -> None:
    right, bound = matrix.product(x)
    wrong = np.argwhere(~(np.abs(found - right) <= bound))
    assert not len(wrong), f"{driver.kernels}: rows and outputs {wrong[:5].tolist()} of {found.shape}"


@settings(max_examples=80)
@given(
    format=st.sampled_from(FORMATS),
    rows=st.integers(1, 20),
    outputs=st.integers(1, 100),
    inputs=st.integers(1, 150) | st.sampled_from([32, 1024, 1056, 2080]),
    bias=st.booleans(),
    values=st.sampled_from(sorted(VALUES)),
    seed=st.integers(0, 1 << 32),
    threads=st.sampled_from([1, 2, 3, 5]),
)
def test_every_row_is_right_and_the_same_alone_and_with_any_threads(
    drivers: list[Driver],
    format: str,
    rows: int,
    outputs: int,
    inputs: int,
    bias: bool,
    values: str,
    seed: int,
    threads: int,
) -> None:
    rng = np.random.default_rng(seed)
    matrix = random_matrix(rng, format, outputs, inputs, bias)
    x = np.asarray(VALUES[values](rng, (rows, matrix.shape[1])), np.float32)
    for driver in drivers:
        together = driver.multiply(matrix, x, threads)
        assert_right(driver, matrix, x, together)
        for row in range(rows):
            assert driver.multiply(matrix, x[row : row + 1]).tobytes() == together[row].tobytes()


@pytest.mark.parametrize("format", GGUF_FORMATS)
def test_a_files_numbers_are_those_of_the_formats_own_library(drivers: list[Driver], format: str) -> None:
    rng = np.random.default_rng(11)
    matrix = FileMatrix(format, None, random_rows(rng, format, 70, 768))
    subnormal = rng.integers(0, 1 << 10, (70, 2)).astype("<u2").view(np.uint8)  # a scale as small as is kept
    at = GGUF_FORMATS[format].scale_at or 0
    matrix.rows[:, at : at + 2] = subnormal[:, :2]
    for driver in drivers:
        assert driver.dequantize(matrix).tobytes() == matrix.as_file().tobytes()


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("inputs", [8960, 18944])
def test_nothing_overflows_when_all_codes_are_the_largest(
    drivers: list[Driver], format: str, inputs: int
) -> None:
    signs = np.array([[1, 1], [1, -1]])
    if format in GGUF_FORMATS:
        block = GGUF_FORMATS[format]
        rows = np.full((16, inputs // block.inputs, block.size), 255, np.uint8)
        rows[1::2] = (
            0x80 if format == "Q8_0" else 0
        )  # the least code, and where there is a sign the largest scale
        for at in (0, 2) if block.scale_at is None else (block.scale_at,):
            rows[:, :, at : at + 2] = np.array([0.5], "<f2").view(np.uint8)
        matrix: Matrix = FileMatrix(format, None, rows.reshape(16, -1))
    else:
        ends = np.array([-127, 127] if format == "int8" else [-8, 7])
        codes = np.tile(ends[(signs > 0).astype(int)], (8, inputs // 2))
        scales = np.full((16,) if format == "int8" else (16, inputs // 32), 0.5, np.float32)
        matrix = OwnMatrix(format, None, codes, scales)
    x = np.tile(np.array([[1, 1], [-1, -1], [1, -1], [-1, 1]], np.float32) * 1e20, (2, inputs // 2))[:7]
    for driver in drivers:
        assert_right(driver, matrix, x, driver.multiply(matrix, x))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("spoil", [np.nan, -np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_spoils_its_row_alone(drivers: list[Driver], format: str, spoil: float) -> None:
    rng = np.random.default_rng(7)
    matrix = random_matrix(rng, format, 70, 100, True)
    x = rng.normal(size=(11, matrix.shape[1])).astype(np.float32)
    for driver in drivers:
        whole = driver.multiply(matrix, x)
        for row in range(len(x)):
            spoiled = x.copy()
            spoiled[row, 9 * row] = spoil
            found = driver.multiply(matrix, spoiled)
            assert np.isnan(found[row]).all()
            assert np.delete(found, row, 0).tobytes() == np.delete(whole, row, 0).tobytes()


@pytest.mark.parametrize("build", ["cortex-a72", "cortex-a76", "armv9"])
def test_an_arm_processor_is_known_for_what_it_has(command: Callable[[str], list[str]], build: str) -> None:
    known = {"cortex-a72": 0, "cortex-a76": 1, "armv9": 2}[build]
    assert supported(command(build)) == ["neon-i8mm", "neon-dotprod", "plain"][2 - known :]

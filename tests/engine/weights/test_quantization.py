"""Every precision multiplies as float32 does, within what its bits allow, for any number of rows."""

from __future__ import annotations

import pytest
import torch

from bot.engine.weights.int8 import Int8, PlainInt8Linear
from bot.engine.weights.quantization import Linear
from bot.engine.weights.quantize import quantization_method
from config.settings import PRECISIONS

ROWS = (1, 2, 7, 40, 400)
INPUTS, OUTPUTS = 896, 640
# Of each answer row, the norm of the error to that of the row. Rounding normally distributed weights
# gives int8 0.0084 and int4 0.076, and rounding both factors gives bfloat16 0.0024.
ERROR = {"fp32": 1e-5, "bf16": 0.004, "int8": 0.012, "int4": 0.1}
# With 7-bit activations (x86 without VNNI) beside an outlier of 60, the others are rounded to whole units.
EIGHT_BIT = {"fp32": 1e-5, "bf16": 0.004, "int8": 0.08, "int4": 0.1}


def weights(outputs: int = OUTPUTS, inputs: int = INPUTS) -> torch.Tensor:
    """As a trained projection has them: small, and some outputs larger than others."""
    generator = torch.Generator().manual_seed(outputs + inputs)
    sizes = torch.rand(outputs, 1, generator=generator) * 0.03 + 0.01
    return torch.randn(outputs, inputs, generator=generator) * sizes


def activations(rows: int, inputs: int = INPUTS, outliers: bool = True) -> torch.Tensor:
    """As a decoder has them: a few channels, some side by side, are far larger than all others."""
    generator = torch.Generator().manual_seed(rows)
    x = torch.randn(rows, inputs, generator=generator)
    if outliers:
        for channel in (3, 4, 5, inputs // 2, inputs - 1):
            x[:, channel] = 60 + x[:, channel]
    return x


def bias_of(outputs: int = OUTPUTS) -> torch.Tensor:
    """Of the size of the products."""
    return torch.linspace(-2, 2, outputs)


def build(precision: str, weight: torch.Tensor, bias: torch.Tensor | None = None) -> Linear:
    """The projection, as the decoder makes it."""
    how = quantization_method(precision)
    return how.build(how.quantize(weight.clone()), bias)


def error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest error of a row, to the row's norm."""
    assert found.shape == expected.shape
    assert found.dtype == torch.float32
    off = (found - expected).norm(dim=1) / expected.norm(dim=1)
    return float(off.nan_to_num(torch.inf).max())


@pytest.mark.parametrize("biased", [False, True], ids=["plain", "biased"])
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_error_is_what_the_bits_allow(precision: str, rows: int, biased: bool) -> None:
    weight, bias = weights(), bias_of() if biased else None
    linear = build(precision, weight, bias)
    for outliers in (False, True):
        x = activations(rows, outliers=outliers)
        kept = x.clone()
        expected = torch.nn.functional.linear(x, weight, bias)
        assert error(linear(x, True), expected) < ERROR[precision]
        assert error(linear(x, False), expected) < EIGHT_BIT[precision]
        assert torch.equal(x, kept), "what is multiplied stays as it was"


@pytest.mark.parametrize(("outputs", "inputs"), [(70, 100), (17, 64), (33, 48), (64, 33), (128, 30)])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_sizes_that_the_kernels_do_not_take_are_multiplied_too(
    precision: str, outputs: int, inputs: int
) -> None:
    weight, bias = weights(outputs, inputs), bias_of(outputs)
    linear = build(precision, weight, bias)
    for rows in ROWS:
        x = activations(rows, inputs, outliers=False)
        expected = torch.nn.functional.linear(x, weight, bias)
        assert error(linear(x), expected) < ERROR[precision]


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize(("outputs", "inputs"), [(OUTPUTS, INPUTS), (70, 100)])
def test_the_plain_int8_agrees_with_the_fast_one(outputs: int, inputs: int, rows: int) -> None:
    tensors = Int8().quantize(weights(outputs, inputs))
    fast = Int8().build(tensors, bias_of(outputs))
    plain = PlainInt8Linear(tensors["codes"], tensors["scale"], bias_of(outputs))
    for outliers in (False, True):
        x = activations(rows, inputs, outliers)
        exact = torch.nn.functional.linear(
            x, tensors["codes"].float() * tensors["scale"][:, None], bias_of(outputs)
        )
        # Where no kernel takes int8 codes, `fast` is the plain one too.
        assert error(fast(x), exact) < (0.004 if isinstance(fast, PlainInt8Linear) else 0.001)
        assert error(plain(x), exact) < 0.004, "its activations are bfloat16"


@pytest.mark.parametrize("nudge", [-1e-6, 1e-6])
@pytest.mark.parametrize("half", [0.5, 1.5, 20.5, -30.5])
def test_activations_next_to_a_half_are_rounded_the_same_way_in_both_parts(half: float, nudge: float) -> None:
    """The kernel rounds in float32 after adding its zero point, where such a nudge is lost."""
    tensors = Int8().quantize(weights())
    linear = Int8().build(tensors, None)
    for largest in (63.0, 127.0):  # so that one step of the first part is 1, on either kind of kernel
        x = torch.full((4, INPUTS), half + nudge)
        x[:, 0] = largest
        exact = x @ (tensors["codes"].float() * tensors["scale"][:, None]).t()
        assert error(linear(x), exact) < 0.005


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_largest_products_are_not_cut_off(precision: str) -> None:
    weight = torch.full((64, 128), 0.05)
    linear = build(precision, weight)
    for rows in ROWS:
        x = torch.full((rows, 128), 3.0)
        assert error(linear(x), x @ weight.t()) < ERROR[precision]
        assert error(linear(-x), -x @ weight.t()) < ERROR[precision]


@pytest.mark.parametrize("exact", [True, False], ids=["exact", "8 bits"])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_row_has_the_same_numbers_alone_and_in_a_batch(precision: str, exact: bool) -> None:
    linear = build(precision, weights(), bias_of())
    x = activations(40)
    together = linear(x, exact)
    for rows in (1, 2, 7):
        alone = torch.cat([linear(part, exact) for part in x.split(rows)])
        assert error(alone, together) < 1e-6


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_large_row_does_not_spoil_its_neighbours(precision: str) -> None:
    weight = weights()
    linear = build(precision, weight)
    for rows in (2, 7, 40, 400):
        x = activations(rows, outliers=False)
        x[rows // 2] *= 1000
        assert error(linear(x), x @ weight.t()) < ERROR[precision]
        assert error(linear(x, False), x @ weight.t()) < EIGHT_BIT[precision]


@pytest.mark.parametrize("exact", [True, False], ids=["exact", "8 bits"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_row_without_numbers_shows_and_stays_alone(precision: str, exact: bool) -> None:
    weight = weights()
    linear = build(precision, weight)
    for bad in (float("nan"), float("inf")):
        for rows in (1, 7, 40):
            x = activations(rows, outliers=False)
            x[0, 5] = bad
            found = linear(x, exact)
            assert not found[0].isfinite().all()
            if rows > 1:
                assert error(found[1:], x[1:] @ weight.t()) < EIGHT_BIT[precision]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_nothing_times_anything_is_the_bias(precision: str) -> None:
    weight = weights()
    weight[5] = 0
    linear = build(precision, weight, bias_of())
    for rows in ROWS:
        assert torch.allclose(linear(torch.zeros(rows, INPUTS)), bias_of().expand(rows, -1), atol=0.01)
        found = linear(activations(rows))[:, 5]
        assert torch.allclose(found, bias_of()[5].expand(rows), atol=0.01)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_encoding_takes_any_float_type_and_leaves_the_weight_as_it_was(
    precision: str, dtype: torch.dtype
) -> None:
    weight = weights().to(dtype)
    kept, how = weight.clone(), quantization_method(precision)
    tensors = how.quantize(weight)
    assert torch.equal(weight, kept)
    x = activations(7)
    expected = x @ weight.float().t()
    assert error(how.build(tensors, None)(x), expected) < ERROR[precision]

"""Products of quantized activations with 4-bit weights (see int4_layout.Nibbles): a row at once, or tiles.

Each is an intrinsic of numba, or makes one; addresses are int64, strides are in bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from bot.engine.compiled.int8_products import AHEAD, write_tile
from bot.engine.compiled.vectors import (
    F32,
    I16,
    I64,
    INT4_SHIFT,
    Builder,
    Value,
    count,
    fetch,
    load,
    offsets_of,
    products,
    same,
    to_floats,
    total,
    two_bfloats,
    vector_of,
)
from bot.engine.config.precision import INT4_GROUP as GROUP


def _sums(
    builder: Builder,
    codes: list[Value],
    scales: list[Value],
    others: list[Value],
    inputs: Value,
    ahead: Value,
) -> list[Value]:
    """Eight partial sums of code * scale * x, times INT4_SHIFT, for each of `others` with each row of codes.

    Two groups a turn: a code is shifted to the top of its 16 bits and not down again, which makes it
    INT4_SHIFT times as large; four products with 15 bits still fit a lane's 32. ahead: see `_int_sums`.
    """
    rows, words = len(codes), vector_of(I16, 16)
    size = rows * len(others)
    chains = 2 if size == 1 else 1  # a sum alone would wait for its own last addition
    nothing = [ir.Constant(vector_of(F32, 8), [0.0] * 8)] * (size * chains)
    at, totals, end_turn = count(builder, ir.Constant(I64, 0), inputs, 2 * GROUP, nothing)
    half, eighth, twice = (
        builder.lshr(at, ir.Constant(I64, 1)),
        builder.lshr(at, ir.Constant(I64, 4)),
        builder.shl(at, ir.Constant(I64, 1)),
    )
    fetch(builder, [builder.add(line, builder.add(half, ahead)) for line in codes])
    results = list(totals)
    for row in range(rows):
        read = load(builder, builder.add(codes[row], half), words)
        tops = [builder.shl(read, ir.Constant(words, [by] * 16)) for by in (12, 8, 4)] + [read]
        tops[1:] = [builder.and_(top, ir.Constant(words, [-INT4_SHIFT] * 16)) for top in tops[1:]]
        scale = [same(builder, each, 8) for each in two_bfloats(builder, builder.add(scales[row], eighth))]
        for group in (0, 1):
            for column, other in enumerate(others):
                first, place = builder.add(other, twice), group % chains * size + column * rows + row
                found = [
                    products(
                        builder, tops[at], load(builder, builder.add(first, ir.Constant(I64, 32 * at)), words)
                    )
                    for at in (2 * group, 2 * group + 1)
                ]
                scaled = builder.fmul(
                    to_floats(builder, builder.add(*found)), scale[group], flags=("contract",)
                )
                results[place] = builder.fadd(results[place], scaled, flags=("contract",))
    end_turn(results)
    return [builder.fadd(*results)] if chains == 2 else results


def nibble_row(rows: int) -> Callable[..., Any]:
    """(codes, their stride, scales, their stride, activations, inputs) -> sums, a tuple of `rows`.

    As `int_row`, for 4-bit codes (see int4_layout.Nibbles), and sums that are INT4_SHIFT times as large.
    Inputs: a multiple of two groups. Strides in bytes.
    """

    @intrinsic
    def multiply(context: Any, codes: Any, pitch: Any, scales: Any, step: Any, x: Any, inputs: Any) -> Any:
        signature = types.UniTuple(types.float32, rows)(codes, pitch, scales, step, x, inputs)

        def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
            codes, pitch, scales, step, x, inputs = arguments
            lines, weight_scales = (
                offsets_of(builder, codes, pitch, rows),
                offsets_of(builder, scales, step, rows),
            )
            ahead = ir.Constant(I64, AHEAD)
            sums = [
                _sums(builder, [line], [scale], [x], inputs, ahead)[0]
                for line, scale in zip(lines, weight_scales, strict=True)
            ]
            return context.make_tuple(builder, signature.return_type, [total(builder, each) for each in sums])

        return signature, generate

    return multiply  # type: ignore[no-any-return]  # numba is untyped


@intrinsic
def nibble_tile(
    context: Any,
    codes: Any,
    pitch: Any,
    scales: Any,
    scale_pitch: Any,
    x: Any,
    step: Any,
    inputs: Any,
    weight_scales: Any,
    activation_scales: Any,
    into: Any,
    to: Any,
    add: Any,
) -> Any:
    """As `int_tile` for few rows, which fetches; 4-bit codes as in `nibble_row`."""
    signature = types.void(
        codes, pitch, scales, scale_pitch, x, step, inputs, weight_scales, activation_scales, into, to, add
    )

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
        (
            codes,
            pitch,
            scales,
            scale_pitch,
            x,
            step,
            inputs,
            weight_scales,
            activation_scales,
            into,
            to,
            add,
        ) = arguments
        lines, scale_lines = offsets_of(builder, codes, pitch, 2), offsets_of(builder, scales, scale_pitch, 2)
        ahead = builder.shl(pitch, ir.Constant(I64, 2))
        sums = _sums(builder, lines, scale_lines, offsets_of(builder, x, step, 4), inputs, ahead)
        adds = builder.icmp_signed("!=", add, ir.Constant(I64, 0))
        write_tile(builder, sums, weight_scales, activation_scales, into, to, adds)
        return context.get_dummy_value()

    return signature, generate

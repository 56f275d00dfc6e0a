"""Products of quantized activations with 8- and 16-bit weights: a row at once, or tiles of two by four.

Each makes an intrinsic of numba; addresses are int64, strides are in bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from bot.engine.compiled.vectors import (
    F32,
    I8,
    I16,
    I32,
    I64,
    Builder,
    Value,
    count,
    fetch,
    function,
    load,
    offsets_of,
    products,
    to_floats,
    total,
    vector_of,
)

AHEAD = 1024  # bytes from what is read to what the processor begins to fetch, where it is read in order
_FLUSH = 256  # inputs whose products of an activation and a widened weight fit a lane's 32 bits


def int_row(rows: int) -> Callable[..., Any]:
    """(weights, their stride in bytes, activations, inputs) -> sums, a tuple of `rows`.

    Rows of 8-bit weights by one of 16-bit activations, one after the other: memory that is read in its own
    order comes a third faster than several rows side by side. Inputs: a multiple of 32, up to 16,384.
    """

    @intrinsic
    def multiply(context: Any, weight: Any, pitch: Any, x: Any, inputs: Any) -> Any:
        signature = types.UniTuple(types.float32, rows)(weight, pitch, x, inputs)

        def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
            weight, pitch, x, inputs = arguments
            sums = [
                _int_row_sums(builder, line, x, inputs) for line in offsets_of(builder, weight, pitch, rows)
            ]
            return context.make_tuple(
                builder, signature.return_type, [total(builder, to_floats(builder, s)) for s in sums]
            )

        return signature, generate

    return multiply  # type: ignore[no-any-return]  # numba is untyped


def _int_row_sums(builder: Builder, line: Value, x: Value, inputs: Value) -> Value:
    """Eight partial sums in 32 bits of a row of 8-bit weights."""
    zeros = [ir.Constant(vector_of(I32, 8), [0] * 8)] * 2
    at, sums, end_turn = count(builder, ir.Constant(I64, 0), inputs, 32, zeros)
    fetch(builder, [builder.add(line, builder.add(at, ir.Constant(I64, AHEAD)))])
    results = []
    for half in (0, 1):
        place = builder.add(at, ir.Constant(I64, 16 * half))
        read = load(builder, builder.add(line, place), vector_of(I8, 16))
        given = load(builder, builder.add(x, builder.shl(place, ir.Constant(I64, 1))), vector_of(I16, 16))
        results.append(
            builder.add(sums[half], products(builder, builder.sext(read, vector_of(I16, 16)), given))
        )
    end_turn(results)
    return builder.add(*results)


def _int_sums(
    builder: Builder,
    lines: list[Value],
    others: list[Value],
    start: Value,
    end: Value,
    size: int,
    ahead: Value | None = None,
) -> list[Value]:
    """Eight partial sums in 32 bits for each of the rows of `others` with each of `lines`.

    ahead: how far from what is read the processor shall begin to fetch.
    """
    zeros = [ir.Constant(vector_of(I32, 8), [0] * 8)] * (len(lines) * len(others))
    at, sums, end_turn = count(builder, start, end, 16, zeros)
    twice = builder.shl(at, ir.Constant(I64, 1))
    place, kind = (at, I8) if size == 8 else (twice, I16)
    read = [load(builder, builder.add(line, place), vector_of(kind, 16)) for line in lines]
    if ahead is not None:
        fetch(builder, [builder.add(line, builder.add(place, ahead)) for line in lines])
    wide = [builder.sext(each, vector_of(I16, 16)) if size == 8 else each for each in read]
    results: list[Value] = []
    for other in others:
        given = load(builder, builder.add(other, twice), vector_of(I16, 16))
        results += [
            builder.add(sums[len(results) + at], products(builder, each, given))
            for at, each in enumerate(wide)
        ]
    end_turn(results)
    return results


def write_tile(
    builder: Builder,
    sums: list[Value],
    weight_scales: Value,
    activation_scales: Value,
    into: Value,
    step: Value,
    add: Value,
    less: Value | None = None,
) -> None:
    """Write eight sums, two outputs of four rows, times the weight scales and the activation scales."""
    kind = vector_of(F32, 8)
    pairwise = function(builder, "llvm.x86.avx.hadd.ps.256", kind, kind, kind)
    while len(sums) > 2:
        sums = [builder.call(pairwise, sums[at : at + 2]) for at in range(0, len(sums), 2)]
    order = [ir.Constant(vector_of(I32, 8), [*range(at, at + 4), *range(at + 8, at + 12)]) for at in (0, 4)]
    low, high = (builder.shuffle_vector(*sums, each) for each in order)
    found = builder.fadd(low, high)
    two, four = (
        load(builder, weight_scales, vector_of(F32, 2)),
        load(builder, activation_scales, vector_of(F32, 4)),
    )
    twos = builder.shuffle_vector(two, two, ir.Constant(vector_of(I32, 8), [0, 1] * 4))
    fours = builder.shuffle_vector(four, four, ir.Constant(vector_of(I32, 8), [0, 0, 1, 1, 2, 2, 3, 3]))
    if less is not None:
        two = load(builder, less, vector_of(F32, 2))
        found = builder.fsub(
            found, builder.shuffle_vector(two, two, ir.Constant(vector_of(I32, 8), [0, 1] * 4))
        )
    found = builder.fmul(builder.fmul(found, twos), fours)
    for row in range(4):
        value = builder.shuffle_vector(found, found, ir.Constant(vector_of(I32, 2), [2 * row, 2 * row + 1]))
        address = builder.inttoptr(
            builder.add(into, builder.mul(step, ir.Constant(I64, row))), ir.PointerType(vector_of(F32, 2))
        )
        before = builder.load(address, align=1)
        value = builder.select(add, builder.fadd(value, before), value)
        builder.store(value, address, align=1)


def _coarse_sums(builder: Builder, lines: list[Value], others: list[Value], end: Value) -> list[Value]:
    """As `_int_sums` for 8-bit activations without sign. Neighbours are added in 16 bits and may saturate."""
    zeros = [ir.Constant(vector_of(I32, 8), [0] * 8)] * (len(lines) * len(others))
    at, sums, end_turn = count(builder, ir.Constant(I64, 0), end, 32, zeros)
    bytes_, words = vector_of(I8, 32), vector_of(I16, 16)
    neighbours = function(builder, "llvm.x86.avx2.pmadd.ub.sw", words, bytes_, bytes_)
    ones = ir.Constant(words, [1] * 16)
    read = [load(builder, builder.add(line, at), bytes_) for line in lines]
    results: list[Value] = []
    for other in others:
        given = load(builder, builder.add(other, at), bytes_)
        for each in read:
            added = products(builder, builder.call(neighbours, (given, each)), ones)
            results.append(builder.add(sums[len(results)], added))
    end_turn(results)
    return results


@intrinsic
def int8_activation_tile(
    context: Any,
    weight: Any,
    pitch: Any,
    x: Any,
    step: Any,
    inputs: Any,
    less: Any,
    weight_scales: Any,
    activation_scales: Any,
    into: Any,
    to: Any,
    add: Any,
) -> Any:
    """As `int_tile`, for 8-bit weights and activations without sign; `less` is subtracted from each sum.

    less: address of two float32. Inputs: a multiple of 32.
    """
    signature = types.void(
        weight, pitch, x, step, inputs, less, weight_scales, activation_scales, into, to, add
    )

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
        weight, pitch, x, step, inputs, less, weight_scales, activation_scales, into, to, add = arguments
        lines, others = offsets_of(builder, weight, pitch, 2), offsets_of(builder, x, step, 4)
        sums = [to_floats(builder, each) for each in _coarse_sums(builder, lines, others, inputs)]
        adds = builder.icmp_signed("!=", add, ir.Constant(I64, 0))
        write_tile(builder, sums, weight_scales, activation_scales, into, to, adds, less)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def weight_sum(context: Any, weight: Any, inputs: Any) -> Any:
    """The sum of a row of 8-bit weights, a multiple of 32 of them; the row after the next four is fetched."""
    signature = types.float32(weight, inputs)

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
        weight, inputs = arguments
        zeros = [ir.Constant(vector_of(I32, 8), [0] * 8)]
        at, sums, end_turn = count(builder, ir.Constant(I64, 0), inputs, 16, zeros)
        place = builder.add(weight, at)
        fetch(builder, [builder.add(place, builder.shl(inputs, ir.Constant(I64, 2)))])
        wide = builder.sext(load(builder, place, vector_of(I8, 16)), vector_of(I16, 16))
        results = [builder.add(sums[0], products(builder, wide, ir.Constant(vector_of(I16, 16), [1] * 16)))]
        end_turn(results)
        return total(builder, to_floats(builder, results[0]))

    return signature, generate


def int_tile(size: int, fetching: bool = False) -> Callable[..., Any]:
    """(weights, stride, activations, stride, inputs, weight scales, activation scales, into, stride, add)

    Two rows of 8- or 16-bit weights by four of 16-bit activations, a multiple of 16 and for 16 bits
    at most 1,280. `into` is four rows of float32; where `add` is not 0, they are added to. Strides in bytes.
    fetching: begin to fetch the weights of the tile after the next.
    """

    @intrinsic
    def tile(
        context: Any,
        weight: Any,
        pitch: Any,
        x: Any,
        step: Any,
        inputs: Any,
        weight_scales: Any,
        activation_scales: Any,
        into: Any,
        to: Any,
        add: Any,
    ) -> Any:
        signature = types.void(
            weight, pitch, x, step, inputs, weight_scales, activation_scales, into, to, add
        )

        def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
            weight, pitch, x, step, inputs, weight_scales, activation_scales, into, to, add = arguments
            lines, others = offsets_of(builder, weight, pitch, 2), offsets_of(builder, x, step, 4)
            ahead = builder.shl(pitch, ir.Constant(I64, 2)) if fetching else None
            if size == 8:
                sums = [
                    to_floats(builder, s)
                    for s in _int_sums(builder, lines, others, ir.Constant(I64, 0), inputs, size, ahead)
                ]
            else:
                nothing = [ir.Constant(vector_of(F32, 8), [0.0] * 8)] * 8
                start, totals, end_part = count(builder, ir.Constant(I64, 0), inputs, _FLUSH, nothing)
                until = builder.add(start, ir.Constant(I64, _FLUSH))
                until = builder.select(builder.icmp_signed("<", until, inputs), until, inputs)
                parts = _int_sums(builder, lines, others, start, until, size)
                sums = [
                    builder.fadd(t, to_floats(builder, part)) for t, part in zip(totals, parts, strict=True)
                ]
                end_part(sums)
            adds = builder.icmp_signed("!=", add, ir.Constant(I64, 0))
            write_tile(builder, sums, weight_scales, activation_scales, into, to, adds)
            return context.get_dummy_value()

        return signature, generate

    return tile  # type: ignore[no-any-return]  # numba is untyped

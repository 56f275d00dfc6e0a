"""What attention does with a head's float32 vectors: products with keys, the largest score, mixed values.

Each is an intrinsic of numba; addresses are int64. LLVM would leave the sums and the largest to one
number at a time, since adding in another order, and NaN, matter to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from bot.engine.compiled.vectors import (
    F32,
    I32,
    I64,
    Builder,
    Value,
    count,
    function,
    load,
    same,
    total,
    vector_of,
)

EIGHT = vector_of(F32, 8)
NOTHING = ir.Constant(EIGHT, [0.0] * 8)


def _multiplied(builder: Builder, left: Value, right: Value, before: Value) -> Value:
    fused = function(builder, "llvm.fma.v8f32", EIGHT, EIGHT, EIGHT, EIGHT)
    return builder.call(fused, (left, right, before))


def _at(builder: Builder, address: Value, floats: Value) -> Value:
    return builder.add(address, builder.shl(floats, ir.Constant(I64, 2)))


def dot_products(keys: int) -> Callable[..., Any]:
    """(query, keys, their width, into): a query's products with one key, or with four that follow each other.

    Width: a multiple of 8 floats.
    """

    @intrinsic
    def multiply(context: Any, query: Any, key: Any, width: Any, into: Any) -> Any:
        def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
            query, key, width, into = arguments
            lines = [_at(builder, key, builder.mul(width, ir.Constant(I64, n))) for n in range(keys)]
            at, sums, end_turn = count(builder, ir.Constant(I64, 0), width, 8, [NOTHING] * keys)
            given = load(builder, _at(builder, query, at), EIGHT)
            found = [load(builder, _at(builder, line, at), EIGHT) for line in lines]
            results = [_multiplied(builder, given, f, s) for f, s in zip(found, sums, strict=True)]
            end_turn(results)
            if keys == 1:
                answer = total(builder, results[0])
            else:
                pairwise = function(builder, "llvm.x86.avx.hadd.ps.256", EIGHT, EIGHT, EIGHT)
                pairs = [builder.call(pairwise, results[n : n + 2]) for n in (0, 2)]
                whole = builder.call(pairwise, pairs)
                low, high = (
                    builder.shuffle_vector(whole, whole, ir.Constant(vector_of(I32, 4), [*range(n, n + 4)]))
                    for n in (0, 4)
                )
                answer = builder.fadd(low, high)
            builder.store(answer, builder.inttoptr(into, ir.PointerType(answer.type)), align=4)
            return context.get_dummy_value()

        return types.void(query, key, width, into), generate

    return multiply  # type: ignore[no-any-return]  # numba is untyped


@intrinsic
def maximum(context: Any, scores: Any, size: Any) -> Any:
    """The maximum of so many floats, a multiple of 8; anything where one is NaN."""

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
        scores, size = arguments
        lowest = ir.Constant(EIGHT, [float("-inf")] * 8)
        at, (highest,), end_turn = count(builder, ir.Constant(I64, 0), size, 8, [lowest])
        maximum = function(builder, "llvm.x86.avx.max.ps.256", EIGHT, EIGHT, EIGHT)
        highest = builder.call(maximum, (load(builder, _at(builder, scores, at), EIGHT), highest))
        end_turn([highest])
        for other in ([4, 5, 6, 7, 0, 1, 2, 3], [2, 3, 0, 1, 6, 7, 4, 5], [1, 0, 3, 2, 5, 4, 7, 6]):
            turned = builder.shuffle_vector(highest, highest, ir.Constant(vector_of(I32, 8), other))
            highest = builder.call(maximum, (highest, turned))
        return builder.extract_element(highest, ir.Constant(I32, 0))

    return types.float32(scores, size), generate


def weighted_sum(eights: int) -> Callable[..., Any]:
    """(values, their width, weights, how many, factor, into): weighted sum of values, times a factor.

    Of each value, 8 * `eights` floats.
    """

    @intrinsic
    def mix(context: Any, value: Any, width: Any, weights: Any, size: Any, factor: Any, into: Any) -> Any:
        def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
            value, width, weights, size, factor, into = arguments
            number, sums, end_turn = count(builder, ir.Constant(I64, 0), size, 1, [NOTHING] * eights)
            line = _at(builder, value, builder.mul(number, width))
            weight = same(builder, load(builder, _at(builder, weights, number), F32), 8)
            places = [ir.Constant(I64, 32 * n) for n in range(eights)]
            results = [
                _multiplied(builder, weight, load(builder, builder.add(line, place), EIGHT), before)
                for place, before in zip(places, sums, strict=True)
            ]
            end_turn(results)
            times = same(builder, factor, 8)
            for place, result in zip(places, results, strict=True):
                address = builder.inttoptr(builder.add(into, place), ir.PointerType(EIGHT))
                builder.store(builder.fmul(result, times), address, align=4)
            return context.get_dummy_value()

        return types.void(value, width, weights, size, factor, into), generate

    return mix  # type: ignore[no-any-return]  # numba is untyped

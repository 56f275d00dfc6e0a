"""Projections, y = x W^T + b, of quantized rows: int8 with a scale an output, int4 with a scale a group."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray

from bot.engine.compiled import int4_products, int8_products
from bot.engine.compiled.compiler import kernel
from bot.engine.compiled.job_layout import (
    ADD,
    BIAS,
    BITS,
    BLOCK,
    CODES,
    COLUMNS,
    FAST,
    INPUTS,
    OUTPUTS,
    SCALES,
    Floats,
    Int64s,
)
from bot.engine.compiled.row_kernels import floats, share
from bot.engine.compiled.vectors import (
    INT4_SHIFT,
    MAX_ACTIVATION_8,
    MAX_WIDENED_WEIGHT,
    few_floats,
    pointer,
    unbits,
)
from bot.engine.config.precision import INT4_GROUP as GROUP

_WIDEN = 12  # rows from which 4-bit weights are widened once, not for each four rows
_PART, _PART_8 = 1024, 2048  # inputs multiplied at once
_int8_row, _int4_row = int8_products.int_row(4), int4_products.nibble_row(4)
# The first rows fetch the weights, which are in the first cache when the others are multiplied.
_int8_first, _int8_tile, _int16_tile = (
    int8_products.int_tile(8, fetching=True),
    int8_products.int_tile(8),
    int8_products.int_tile(16),
)


@kernel(fastmath=FAST, inline="always")
def nearest(code: int, factor: float) -> Any:
    """code * factor, rounded to an integer of 16 bits."""
    return np.int16(np.int32(np.floor(np.float32(code) * factor + np.float32(0.5))))


@kernel(fastmath=FAST)
def widen_int4(
    codes: int, scales: int, inputs: int, outputs: int, into: int, activation_scales: Floats
) -> None:
    """Some outputs' 4-bit weights as 13-bit integers, and what one of them stands for."""
    groups = inputs // GROUP
    for output in range(outputs):
        words = carray(pointer(codes + output * inputs // 2), (groups // 2, GROUP // 2), np.int16)
        weight_scales = carray(pointer(scales + output * groups * 2), (groups,), np.uint16)
        target = carray(pointer(into + 2 * output * inputs), (groups // 2, 4, GROUP // 2), np.int16)
        maximum = np.float32(1e-30)
        for group in range(groups):
            maximum = max(maximum, abs(unbits(np.int32(weight_scales[group]) << np.int32(16))))
        activation_scales[output] = maximum * np.float32(8.0 / MAX_WIDENED_WEIGHT)
        for pair in range(groups // 2):
            first = (
                unbits(np.int32(weight_scales[2 * pair]) << np.int32(16))
                / activation_scales[output]
                / np.float32(INT4_SHIFT)
            )
            other = (
                unbits(np.int32(weight_scales[2 * pair + 1]) << np.int32(16))
                / activation_scales[output]
                / np.float32(INT4_SHIFT)
            )
            for i in range(GROUP // 2):
                word = words[pair, i]
                target[pair, 0, i] = nearest(np.int16(word << 12), first)
                target[pair, 1, i] = nearest(np.int16(word << 8 & -INT4_SHIFT), first)
                target[pair, 2, i] = nearest(np.int16(word << 4 & -INT4_SHIFT), other)
                target[pair, 3, i] = nearest(np.int16(word & -INT4_SHIFT), other)


@kernel(fastmath=FAST)
def project_some(
    table: Int64s, at: int, x: int, size: float, target: Floats, add: int, start: int, end: int
) -> None:
    """The outputs from `start` to `end` for a single row: x W^T + b."""
    codes, scales, bias = table[at + CODES], table[at + SCALES], table[at + BIAS]
    outputs, inputs = table[at + OUTPUTS], table[at + INPUTS]
    eight = table[at + BITS] == 8
    pitch = inputs if eight else inputs // 2
    scale_pitch = inputs // GROUP * 2
    weight_scales, offsets = floats(scales, outputs if eight else 0), floats(bias, outputs if bias else 0)
    for output in range(start, end, 4):
        place, scale = codes + output * pitch, scales + output * scale_pitch
        if eight:
            a, b, c, d = _int8_row(place, pitch, x, inputs)
            a, b = a * weight_scales[output], b * weight_scales[output + 1]
            c, d = c * weight_scales[output + 2], d * weight_scales[output + 3]
        else:
            a, b, c, d = _int4_row(place, pitch, scale, scale_pitch, x, inputs)
            a, b = a * np.float32(1 / INT4_SHIFT), b * np.float32(1 / INT4_SHIFT)
            c, d = c * np.float32(1 / INT4_SHIFT), d * np.float32(1 / INT4_SHIFT)
        a, b, c, d = a * size, b * size, c * size, d * size
        if bias:
            a, b = a + offsets[output], b + offsets[output + 1]
            c, d = c + offsets[output + 2], d + offsets[output + 3]
        if add:
            a, b = a + target[output], b + target[output + 1]
            c, d = c + target[output + 2], d + target[output + 3]
        target[output], target[output + 1], target[output + 2], target[output + 3] = a, b, c, d


@kernel(fastmath=FAST)
def project_row(
    table: Int64s, at: int, x: int, size: float, into: int, add: int, thread: int, threads: int
) -> None:
    """`project` for a single row: reading the weights from memory takes all the time."""
    outputs = table[at + OUTPUTS]
    start, end = share(outputs, thread, threads, BLOCK)
    project_some(table, at, x, size, floats(into, outputs), add, start, end)


@kernel(fastmath=FAST)
def project(
    table: Int64s,
    at: int,
    x: int,
    activation_scales: int,
    rows: int,
    into: int,
    add: int,
    wide: int,
    thread: int,
    threads: int,
) -> None:
    """This thread's outputs of a projection for all rows, written or added to `into` [rows, outputs].

    wide: room for BLOCK outputs' weights in 16 bits. `x`, `sizes` and `into` have room for a multiple of
    COLUMNS rows. Inputs are taken in parts, so that what is multiplied stays in the first cache.
    """
    codes, scales, bias = table[at + CODES], table[at + SCALES], table[at + BIAS]
    outputs, inputs = table[at + OUTPUTS], table[at + INPUTS]
    eight = table[at + BITS] == 8
    pitch = inputs if eight else inputs // 2
    scale_pitch = inputs // GROUP * 2
    widen = not eight and rows >= _WIDEN
    start, end = share(outputs, thread, threads, BLOCK)
    weight_scales_address = few_floats()
    weight_scales = floats(weight_scales_address, BLOCK)
    for i in range(BLOCK):
        weight_scales[i] = np.float32(1 / INT4_SHIFT)
    for block in range(start, end, BLOCK):
        until = min(block + BLOCK, end)
        factor = scales + 4 * block if eight else weight_scales_address
        if widen:
            widen_int4(
                codes + block * pitch,
                scales + block * scale_pitch,
                inputs,
                until - block,
                wide,
                weight_scales,
            )
        more = add
        tiled = rows - 1 if rows % COLUMNS == 1 else rows
        for first in range(0, inputs, _PART):
            part = min(_PART, inputs - first)
            for row in range(0, tiled, COLUMNS):
                given, size, result = (
                    x + 2 * (row * inputs + first),
                    activation_scales + 4 * row,
                    into + 4 * row * outputs,
                )
                for output in range(block, until, 2):
                    place = output - block
                    to, times = result + 4 * output, factor + 4 * place
                    if eight:
                        weights = codes + output * pitch + first
                        if row == 0:
                            _int8_first(
                                weights, pitch, given, 2 * inputs, part, times, size, to, 4 * outputs, more
                            )
                        else:
                            _int8_tile(
                                weights, pitch, given, 2 * inputs, part, times, size, to, 4 * outputs, more
                            )
                    elif widen:
                        weights = wide + 2 * (place * inputs + first)
                        _int16_tile(
                            weights, 2 * inputs, given, 2 * inputs, part, times, size, to, 4 * outputs, more
                        )
                    else:
                        weights = codes + output * pitch + first // 2
                        scale = scales + output * scale_pitch + first // GROUP * 2
                        int4_products.nibble_tile(
                            weights,
                            pitch,
                            scale,
                            scale_pitch,
                            given,
                            2 * inputs,
                            part,
                            times,
                            size,
                            to,
                            4 * outputs,
                            more,
                        )
            more = ADD
        if tiled < rows:  # one row more: a tile for it would cost as much as for four
            last = rows - 1
            one, target = (
                floats(activation_scales + 4 * last, 1)[0],
                floats(into + 4 * last * outputs, outputs),
            )
            project_some(table, at, x + 2 * last * inputs, one, target, add, block, until)
            rows_with_bias = rows - 1
        else:
            rows_with_bias = rows
        if bias:
            offsets = floats(bias, outputs)
            for row in range(rows_with_bias):
                target = floats(into + 4 * row * outputs, outputs)
                for output in range(block, until):
                    target[output] += offsets[output]


@kernel(fastmath=FAST)
def project_8_bit(
    table: Int64s,
    at: int,
    x: int,
    activation_scales: int,
    rows: int,
    into: int,
    add: int,
    thread: int,
    threads: int,
) -> None:
    """`project` for 8-bit weights and 8-bit activations."""
    codes, scales, bias = table[at + CODES], table[at + SCALES], table[at + BIAS]
    outputs, inputs = table[at + OUTPUTS], table[at + INPUTS]
    start, end = share(outputs, thread, threads, BLOCK)
    place_of_less, place_of_none = few_floats(), few_floats()
    less, none = floats(place_of_less, BLOCK), floats(place_of_none, BLOCK)
    for i in range(BLOCK):
        none[i] = np.float32(0.0)
    offsets = floats(bias, outputs if bias else 0)
    for block in range(start, end, BLOCK):
        until = min(block + BLOCK, end)
        for output in range(block, until):
            less[output - block] = np.float32(MAX_ACTIVATION_8 + 1) * int8_products.weight_sum(
                codes + output * inputs, inputs
            )
        more, correction = add, place_of_less
        for first in range(0, inputs, _PART_8):
            part = min(_PART_8, inputs - first)
            for row in range(0, rows, COLUMNS):
                given, result = x + row * inputs + first, into + 4 * row * outputs
                for output in range(block, until, 2):
                    int8_products.int8_activation_tile(
                        codes + output * inputs + first,
                        inputs,
                        given,
                        inputs,
                        part,
                        correction + 4 * (output - block),
                        scales + 4 * output,
                        activation_scales + 4 * row,
                        result + 4 * output,
                        4 * outputs,
                        more,
                    )
            more, correction = ADD, place_of_none
        if bias:
            for row in range(rows):
                target = floats(into + 4 * row * outputs, outputs)
                for output in range(block, until):
                    target[output] += offsets[output]

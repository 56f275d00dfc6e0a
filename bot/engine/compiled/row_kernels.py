"""One step of a layer each, as machine code; every thread of the pool does its share of the rows.

What torch does in sixty calls a layer is one loop here: for a single token, calling costs as much as
computing. Activations are quantized to 15 bits with a scale a row, or to 8 where that is enough; their
products with integer weights are exact.
"""

from __future__ import annotations

import numpy as np
from numba import carray

from bot.engine.compiled import attention, vectors
from bot.engine.compiled.compiler import kernel
from bot.engine.compiled.job_layout import ARRIVED, FAST, TURN, Flags, Floats
from bot.engine.compiled.vectors import MAX_ACTIVATION_8, MAX_ACTIVATION_16, bits, pointer, unbits

_one_dot, _four_dots = attention.dot_products(1), attention.dot_products(4)
_mix_8, _mix_64 = attention.weighted_sum(1), attention.weighted_sum(8)
_SPINS = 4000  # looks at the barrier before another thread is let to the processor


@kernel(nogil=True)
def wait(thread_pool: int, threads: int) -> None:
    """Return when every thread of the pool is here."""
    turn = vectors.peek(thread_pool + 8 * TURN)
    if vectors.count_up(thread_pool + 8 * ARRIVED) + 1 == threads:
        vectors.poke(thread_pool + 8 * ARRIVED, 0)
        vectors.poke(thread_pool + 8 * TURN, turn + 1)
        return
    spins = 0
    while vectors.peek(thread_pool + 8 * TURN) == turn:
        vectors.pause()
        spins += 1
        if spins > _SPINS:
            vectors.step_aside()
            spins = 0


@kernel(inline="always")
def share(count: int, thread: int, threads: int, unit: int) -> tuple[int, int]:
    """This thread's part of `count`, cut at multiples of `unit`."""
    units = (count + unit - 1) // unit
    return min(count, units * thread // threads * unit), min(count, units * (thread + 1) // threads * unit)


@kernel(inline="always")
def floats(address: int, count: int) -> Floats:
    """The float32 array at an address."""
    return carray(pointer(address), (count,), np.float32)  # type: ignore[no-any-return]  # numba is untyped


@kernel(fastmath=FAST, inline="always")
def exponential(x: float) -> float:
    """e^x within 2e-7 of it, by a polynomial after taking whole powers of two out (Cody and Waite, 1980)."""
    x = np.float32(88.0) if x > np.float32(88.0) else x
    x = np.float32(-87.0) if x < np.float32(-87.0) else x
    whole = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
    rest = x - whole * np.float32(0.693359375) - whole * np.float32(-2.12194440e-4)
    power = np.float32(1.9875691e-4)
    power = power * rest + np.float32(1.3981999e-3)
    power = power * rest + np.float32(8.3334519e-3)
    power = power * rest + np.float32(4.1665796e-2)
    power = power * rest + np.float32(1.6666666e-1)
    power = power * rest + np.float32(5.0000001e-1)
    power = power * rest * rest + rest + np.float32(1.0)
    factor = unbits((np.int32(whole) + np.int32(127)) << np.int32(23))
    return power * factor  # type: ignore[no-any-return]  # numba is untyped


@kernel(fastmath=FAST, inline="always")
def row_scale(values: Floats, steps: int) -> tuple[float, float]:
    """The activation scale with which the row's maximum becomes `steps`, and its inverse.

    A row with NaN or infinity has the scale NaN, and so are all products of the row.
    """
    maximum = np.int32(0)  # compared as bits: NaN is larger than all
    for i in range(len(values)):
        maximum = max(maximum, bits(values[i]) & np.int32(0x7FFFFFFF))
    size = unbits(maximum)
    if not size < np.float32(3e38):
        return np.float32(np.nan), np.float32(0.0)
    factor = np.float32(steps) / size if size > np.float32(1e-30) else np.float32(0.0)
    return size / np.float32(steps), factor


@kernel(fastmath=FAST)
def quantize_row(values: Floats, at: int, activation_scales: Floats, row: int) -> None:
    """Quantize a row to 15 bits; its scale goes to `activation_scales`."""
    activation_scales[row], factor = row_scale(values, MAX_ACTIVATION_16)
    target = carray(pointer(at + 2 * row * len(values)), (len(values),), np.int16)
    for i in range(len(values)):
        target[i] = np.int16(np.int32(np.floor(values[i] * factor + np.float32(0.5))))


@kernel(fastmath=FAST)
def quantize_row_to_8_bits(values: Floats, at: int, activation_scales: Floats, row: int) -> None:
    """As `quantize_row`, to bytes: 0 stands for -MAX_ACTIVATION_8 - 1."""
    activation_scales[row], factor = row_scale(values, MAX_ACTIVATION_8)
    target = carray(pointer(at + row * len(values)), (len(values),), np.uint8)
    for i in range(len(values)):
        target[i] = np.uint8(np.int32(np.floor(values[i] * factor + np.float32(MAX_ACTIVATION_8 + 1.5))))


@kernel(fastmath=FAST)
def rms_norm(values: Floats, weight: Floats, epsilon: float, into: Floats) -> None:
    """RMSNorm (Zhang and Sennrich, 2019)."""
    total = np.float32(0.0)
    for i in range(len(values)):
        total += values[i] * values[i]
    factor = np.float32(1.0) / np.sqrt(total / np.float32(len(values)) + epsilon)
    for i in range(len(values)):
        into[i] = values[i] * factor * weight[i]


@kernel(fastmath=FAST)
def rotate(states: Floats, rotation: Floats, norm: int, epsilon: float, width: int) -> None:
    """One head's query or key, normalized where the family does that, turned by its position (RoFormer)."""
    if norm:
        rms_norm(states, floats(norm, width), epsilon, states)
    for at in range(0, width, 2):
        real, imaginary = states[at], states[at + 1]
        states[at] = real * rotation[at] - imaginary * rotation[at + 1]
        states[at + 1] = real * rotation[at + 1] + imaginary * rotation[at]


@kernel(fastmath=FAST)
def attend_head(
    query: int,
    keys: int,
    values: int,
    mask_row: Flags,
    before: int,
    count: int,
    place: int,
    attn_out: int,
    width: int,
) -> None:
    """Softmax attention of one query over `before + count` keys; of the last `count`, as `mask_row` allows.

    place: address of the scores, with room for a multiple of 8.
    """
    scale, together = np.float32(1.0) / np.sqrt(np.float32(width)), before + count
    padded, whole = (together + 7) // 8 * 8, together // 4 * 4
    for at in range(0, whole, 4):
        _four_dots(query, keys + 4 * at * width, width, place + 4 * at)
    for at in range(whole, together):
        _one_dot(query, keys + 4 * at * width, width, place + 4 * at)
    scores = floats(place, padded)
    for at in range(len(mask_row)):
        if not mask_row[at]:
            scores[before + at] = np.float32(-np.inf)
    for at in range(together, padded):
        scores[at] = np.float32(-np.inf)
    highest = attention.maximum(place, padded)
    total = np.float32(0.0)
    for at in range(padded):
        scores[at] = exponential((scores[at] - highest) * scale)
        total += scores[at]
    share_of_all, whole_blocks = np.float32(1.0) / total, width // 64 * 64
    for at in range(0, whole_blocks, 64):
        _mix_64(values + 4 * at, width, place, together, share_of_all, attn_out + 4 * at)
    for at in range(whole_blocks, width, 8):
        _mix_8(values + 4 * at, width, place, together, share_of_all, attn_out + 4 * at)

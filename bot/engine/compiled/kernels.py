"""One step of a layer each, as machine code; every thread of a team does its share of the rows.

What torch does in sixty calls a layer is one loop here: for a single token, calling costs as much as
computing. Activations are rounded to 15 bits a row, or to 8 where that is enough; their products with
whole weights are exact.
"""

from __future__ import annotations

import numpy as np
from numba import carray

from bot.engine.compiled import heads, vectors
from bot.engine.compiled.columns import ARRIVED, FAST, TURN, Flags, Floats
from bot.engine.compiled.compiling import kernel
from bot.engine.compiled.vectors import ACTIVATION, COARSE, bits, pointer, unbits

_one_dot, _four_dots = heads.dots(1), heads.dots(4)
_mix_8, _mix_64 = heads.mixture(1), heads.mixture(8)
_SPINS = 4000  # looks at the barrier before another thread is let to the processor


@kernel(nogil=True)
def wait(team: int, threads: int) -> None:
    """Return when every thread of the team is here."""
    turn = vectors.peek(team + 8 * TURN)
    if vectors.count_up(team + 8 * ARRIVED) + 1 == threads:
        vectors.poke(team + 8 * ARRIVED, 0)
        vectors.poke(team + 8 * TURN, turn + 1)
        return
    spins = 0
    while vectors.peek(team + 8 * TURN) == turn:
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
    return carray(pointer(address), (count,), np.float32)  # type: ignore[no-any-return]


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
    return power * unbits((np.int32(whole) + np.int32(127)) << np.int32(23))  # type: ignore[no-any-return]


@kernel(fastmath=FAST, inline="always")
def step_of(values: Floats, steps: int) -> tuple[float, float]:
    """The size of a step, of which the largest value has `steps`, and how many steps 1.0 is.

    A row with a number that is none, or infinite, has no size: so have all products of the row.
    """
    largest = np.int32(0)  # compared as bits: a number that is none is larger than all
    for i in range(len(values)):
        largest = max(largest, bits(values[i]) & np.int32(0x7FFFFFFF))
    size = unbits(largest)
    if not size < np.float32(3e38):
        return np.float32(np.nan), np.float32(0.0)
    factor = np.float32(steps) / size if size > np.float32(1e-30) else np.float32(0.0)
    return size / np.float32(steps), factor


@kernel(fastmath=FAST)
def rounded(values: Floats, at: int, sizes: Floats, row: int) -> None:
    """Write a row as whole steps of its largest value; `sizes` has a step's size."""
    sizes[row], factor = step_of(values, ACTIVATION)
    target = carray(pointer(at + 2 * row * len(values)), (len(values),), np.int16)
    for i in range(len(values)):
        target[i] = np.int16(np.int32(np.floor(values[i] * factor + np.float32(0.5))))


@kernel(fastmath=FAST)
def coarsely_rounded(values: Floats, at: int, sizes: Floats, row: int) -> None:
    """As `rounded`, to bytes: 0 is -COARSE - 1 steps."""
    sizes[row], factor = step_of(values, COARSE)
    target = carray(pointer(at + row * len(values)), (len(values),), np.uint8)
    for i in range(len(values)):
        target[i] = np.uint8(np.int32(np.floor(values[i] * factor + np.float32(COARSE + 1.5))))


@kernel(fastmath=FAST)
def normalised(values: Floats, weight: Floats, epsilon: float, into: Floats) -> None:
    """RMSNorm (Zhang and Sennrich, 2019)."""
    total = np.float32(0.0)
    for i in range(len(values)):
        total += values[i] * values[i]
    factor = np.float32(1.0) / np.sqrt(total / np.float32(len(values)) + epsilon)
    for i in range(len(values)):
        into[i] = values[i] * factor * weight[i]


@kernel(fastmath=FAST)
def rotated(states: Floats, rotation: Floats, norm: int, epsilon: float, width: int) -> None:
    """One head's query or key, normalised where the family does that, turned by its position (RoFormer)."""
    if norm:
        normalised(states, floats(norm, width), epsilon, states)
    for at in range(0, width, 2):
        real, imaginary = states[at], states[at + 1]
        states[at] = real * rotation[at] - imaginary * rotation[at + 1]
        states[at + 1] = real * rotation[at + 1] + imaginary * rotation[at]


@kernel(fastmath=FAST)
def attended(
    query: int,
    keys: int,
    values: int,
    seen: Flags,
    before: int,
    count: int,
    place: int,
    mixed: int,
    width: int,
) -> None:
    """Softmax attention of one query over `before + count` keys; of the last `count`, those that `seen` has.

    place: address of the scores, with room for a multiple of 8.
    """
    scale, together = np.float32(1.0) / np.sqrt(np.float32(width)), before + count
    padded, whole = (together + 7) // 8 * 8, together // 4 * 4
    for at in range(0, whole, 4):
        _four_dots(query, keys + 4 * at * width, width, place + 4 * at)
    for at in range(whole, together):
        _one_dot(query, keys + 4 * at * width, width, place + 4 * at)
    scores = floats(place, padded)
    for at in range(len(seen)):
        if not seen[at]:
            scores[before + at] = np.float32(-np.inf)
    for at in range(together, padded):
        scores[at] = np.float32(-np.inf)
    highest = heads.largest(place, padded)
    total = np.float32(0.0)
    for at in range(padded):
        scores[at] = exponential((scores[at] - highest) * scale)
        total += scores[at]
    share_of_all, whole_blocks = np.float32(1.0) / total, width // 64 * 64
    for at in range(0, whole_blocks, 64):
        _mix_64(values + 4 * at, width, place, together, share_of_all, mixed + 4 * at)
    for at in range(whole_blocks, width, 8):
        _mix_8(values + 4 * at, width, place, together, share_of_all, mixed + 4 * at)

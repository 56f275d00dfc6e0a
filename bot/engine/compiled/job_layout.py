"""What the kernels are handed: arrays of int64, mostly addresses, whose columns have these names.

The names are numpy's integers, so that numba compiles a function once and not for each column.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]
Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]


def _names(count: int, first: int = 0, step: int = 1) -> list[Any]:
    return list(first + step * np.arange(count))


# Columns of a projection: addresses of codes, scales and bias (0: none), bits of a code, outputs, inputs.
CODES, SCALES, BIAS, BITS, OUTPUTS, INPUTS = _names(6)
PROJECTION = 6
# Columns of a layer: addresses of norms (0: none), then four projections.
ATTENTION_NORM, QUERY_NORM, KEY_NORM, MLP_NORM = _names(4)
QKV, OUT, GATE_UP, DOWN = _names(4, first=4, step=PROJECTION)
LAYER = 4 + PROJECTION * 4
# Columns of a row: address and capacity of its sequence's cache, tokens in it before this pass, place among
# the pass's tokens of the sequence and how many these are, address of their mask (0: causal), address of its
# rotation.
CACHE, CAPACITY, BEFORE, OWN, CHUNK, MASK, ROTATION = _names(7)
ROW = 7
# Columns of a job: what to do, sizes of the model, how many rows, and addresses of what is read and written.
(
    KIND,
    LAYERS,
    HIDDEN,
    HEADS,
    KV_HEADS,
    HEAD_DIM,
    MLP,
    ROWS,
    OUTPUT_ROWS,
    LAYER_TABLE,
    ROW_TABLE,
    OUTPUT_ROW_TABLE,
    STATES,
    ACTIVATIONS,
    ACTIVATION_SCALES,
    QKV_STATES,
    ATTN_OUT,
    MLP_STATES,
    SCORES,
    SCORE_ROOM,
    FINAL_NORM,
    RESULT,
    PROJECTION_TABLE,
    WIDE,
    WIDE_ROOM,
    EXACT,
) = _names(26)
JOB = 26
STOP, PASS, PROJECT = range(3)
WRITE, ADD = _names(2)  # what a projection does with its outputs
# Places in the pool's own array, a cache line each: arrivals at the barrier, turns of it, the signal's byte.
ARRIVED, TURN, SIGNAL = 0, 8, 16
POOL = 24

# Rows of activations multiplied at once; `ACTIVATIONS`, `ACTIVATION_SCALES` and `RESULT` have room for them.
COLUMNS = 4
BLOCK = 16  # outputs whose weights stay in the first cache while all rows are multiplied
FAST = {"reassoc", "contract", "arcp", "nsz"}  # how floats may be reordered; NaN stays NaN

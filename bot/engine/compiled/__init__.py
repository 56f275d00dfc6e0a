"""The decoder's passes as machine code, made by numba: for int8 and int4 on x86-64 with AVX2.

    vectors   what Python cannot say: addresses, vectors, atomics
    tiles     products with 8-bit weights
    nibbles   products with 4-bit weights
    heads     what attention does with vectors
    columns   what the kernels are handed
    kernels   one step of a layer each: rounding, normalising, turning, attending
    products  projections
    layers    the steps in their order, as every thread of a team takes them
    team      the threads
    keeping   machine code kept beside this package, so that only `prepare` compiles
    opening   from weights to a decoder
    decoder   the same methods as `bot.engine.torch_decoder.TorchDecoder`

Only `suits` is here, so that numba is read where it is used and not before.
"""

from __future__ import annotations

import importlib.util

from bot.engine.processor import has_avx2, has_dot_product
from bot.engine.shape import Shape

PRECISIONS = ("int8", "int4")
GROUP = 32  # inputs that share a scale in int4; all sizes of inputs must be multiples of two
_OUTPUTS = 4  # outputs multiplied at once


def runs_here() -> bool:
    """Whether this processor runs these kernels, and none that torch has are faster (VNNI)."""
    return has_avx2() and not has_dot_product() and importlib.util.find_spec("numba") is not None


def suits(shape: Shape, precision: str) -> bool:
    """Whether a model's passes are compiled here; the others run on torch's kernels."""
    inputs = (shape.hidden, shape.mlp, shape.heads * shape.head_dim)
    fits = all(size % (2 * GROUP) == 0 for size in inputs) and shape.vocabulary % _OUTPUTS == 0
    even = shape.head_dim % 8 == 0 and shape.kv_heads * shape.head_dim % _OUTPUTS == 0
    return precision in PRECISIONS and fits and even and runs_here()

"""The decoder's forward pass as machine code, made by numba: for int8 and int4 on x86-64 with AVX2.

    vectors        what Python cannot say: addresses, vectors, atomics
    int8_products  products with 8-bit (and widened 16-bit) weights
    int4_products  products with 4-bit weights
    int4_layout    4-bit weights as the kernels read them
    attention      what attention does with vectors
    job_layout     what the kernels are handed
    row_kernels    one step of a layer each: quantize, norm, rotate, attend
    projections    y = x W^T + b
    forward_pass   the steps in their order, as every thread of the pool takes them
    compiler       from sources to machine code
    object_cache   machine code kept beside this package, so that only `prepare` compiles
    thread_pool    the threads
    decoder        the same methods as `bot.engine.model.torch_decoder.TorchDecoder`

Only `suits` is here, so that numba is imported where it is used and not before.
"""

from __future__ import annotations

import importlib.util

from bot.engine.config.model_config import ModelConfig
from bot.engine.config.precision import INT4_GROUP, QUANTIZED
from bot.engine.config.processor import has_avx2, has_vnni

_OUTPUTS = 4  # outputs multiplied at once


def can_run() -> bool:
    """Whether this processor can run these kernels."""
    return has_avx2() and importlib.util.find_spec("numba") is not None


def runs_here() -> bool:
    """Whether these kernels are the fastest on this processor: where it has VNNI, torch's are."""
    return can_run() and not has_vnni()


def fits(config: ModelConfig, precision: str) -> bool:
    """Whether the kernels take a model's sizes."""
    inputs = (config.hidden_size, config.intermediate_size, config.num_heads * config.head_dim)
    whole_groups = all(size % (2 * INT4_GROUP) == 0 for size in inputs)
    whole_outputs = (
        config.vocab_size % _OUTPUTS == 0 and config.num_kv_heads * config.head_dim % _OUTPUTS == 0
    )
    return precision in QUANTIZED and whole_groups and whole_outputs and config.head_dim % 8 == 0


def suits(config: ModelConfig, precision: str) -> bool:
    """Whether a model runs on these kernels here; the others run on torch's."""
    return fits(config, precision) and runs_here()

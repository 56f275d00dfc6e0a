"""Which quantization method a precision is, what it runs on here, and a checkpoint quantized by it."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from bot.engine import compiled
from bot.engine.compiled.int4_layout import Nibbles
from bot.engine.config.model_config import ModelConfig
from bot.engine.config.torch_kernels import capability, has_fast_int8, has_kleidiai_int4, has_native_bf16
from bot.engine.weights.checkpoint import Checkpoint
from bot.engine.weights.fuse import Part, fused_parts
from bot.engine.weights.int4 import UNPACK_ROWS, Int4
from bot.engine.weights.int8 import Int8
from bot.engine.weights.quantization import Dense, QuantizationMethod


def quantization_method(precision: str, for_compiled: bool = False) -> QuantizationMethod:
    """The method of `fp32`, `bf16`, `int8` or `int4`.

    for_compiled: as the compiled kernels read the weights, where that differs.
    """
    if precision == "int8":
        return Int8()
    if precision == "int4":
        return Nibbles() if for_compiled else Int4()
    return Dense({"fp32": torch.float32, "bf16": torch.bfloat16}[precision])


def quantized_parts(
    checkpoint: Checkpoint, config: ModelConfig, method: QuantizationMethod
) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    """(name, tensors) of every part of the decoder, one at a time; see `quantize_part`."""
    for part in fused_parts(checkpoint, config):
        yield part.name, quantize_part(part, method)


def quantize_part(part: Part, method: QuantizationMethod) -> dict[str, torch.Tensor]:
    """What is kept of a part: a norm under the empty name, a projection as `method` says with its bias."""
    if not part.is_projection:
        return {"": part.weight}
    kept = (method.for_lm_head if part.name == "head" else method).quantize(part.weight)
    return kept if part.bias is None else kept | {"bias": part.bias}


def kernel_names() -> dict[str, str]:
    """What each precision runs on here, for `doctor`."""
    int8 = "8-bit activations in two parts, packed (fbgemm)" if has_fast_int8() else "weight-only kernel"
    if compiled.runs_here():
        int8 = "compiled by numba, 16-bit activations"
        int4 = int8
    elif has_kleidiai_int4():
        int4 = "8-bit activations, packed (KleidiAI)"
    else:
        int4 = f"weight-only packed kernel, bfloat16 matmul from {UNPACK_ROWS} rows"
    return {
        "fp32": f"float32 matmul ({capability()})",
        "bf16": f"bfloat16 matmul ({capability()}, {'native' if has_native_bf16() else 'emulated'})",
        "int8": f"{int8} ({capability()})",
        "int4": f"{int4} ({capability()})",
    }

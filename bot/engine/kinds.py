"""How each precision keeps and multiplies weights, on torch."""

from __future__ import annotations

import torch

from bot.engine import compiled
from bot.engine.compiled.codes import Nibbles
from bot.engine.int4 import UNPACK_ROWS, Int4
from bot.engine.int8 import Int8
from bot.engine.linear import Dense, Kind
from bot.engine.torch_kernels import capability, fast_dynamic_int4, fast_int8, native_bf16


def kind(precision: str, for_compiled: bool = False) -> Kind:
    """How `fp32`, `bf16`, `int8` or `int4` keeps its weights.

    for_compiled: as the compiled kernels read them, where that differs.
    """
    if precision == "int8":
        return Int8()
    if precision == "int4":
        return Nibbles() if for_compiled else Int4()
    return Dense({"fp32": torch.float32, "bf16": torch.bfloat16}[precision])


def choices() -> dict[str, str]:
    """What each precision runs on here, for `doctor`."""
    int8 = "8-bit activations in two parts, packed (fbgemm)" if fast_int8() else "weight-only kernel"
    if compiled.runs_here():
        int8 = "compiled by numba, 16-bit activations"
        int4 = int8
    elif fast_dynamic_int4():
        int4 = "8-bit activations, packed (KleidiAI)"
    else:
        int4 = f"weight-only packed kernel, bfloat16 matmul from {UNPACK_ROWS} rows"
    return {
        "fp32": f"float32 matmul ({capability()})",
        "bf16": f"bfloat16 matmul ({capability()}, {'native' if native_bf16() else 'emulated'})",
        "int8": f"{int8} ({capability()})",
        "int4": f"{int4} ({capability()})",
    }

"""Which precision runs, and on what kernels of this processor."""

from __future__ import annotations

import os

import torch

from bot.engine import compiled
from bot.engine.compiled.codes import Nibbles
from bot.engine.int4 import UNPACK_ROWS, Int4
from bot.engine.int8 import Int8
from bot.engine.interface import EngineError
from bot.engine.linear import Dense, Kind
from bot.engine.processor import capability, fast_dynamic_int4, fast_int8, native_bf16
from bot.engine.shape import Shape

# Beside the weights: what Python, torch, the bot and its caches take.
_BESIDE = 700_000_000


def kind(precision: str, for_compiled: bool = False) -> Kind:
    """How `fp32`, `bf16`, `int8` or `int4` keeps its weights. Raises EngineError for another name.

    for_compiled: as the compiled kernels read them, where that differs.
    """
    if precision == "int8":
        return Int8()
    if precision == "int4":
        return Nibbles() if for_compiled else Int4()
    if precision in ("fp32", "bf16"):
        return Dense(torch.float32 if precision == "fp32" else torch.bfloat16)
    raise EngineError(f"there is no precision {precision!r}; there are auto, fp32, bf16, int8 and int4")


def choose(precision: str, shape: Shape) -> str:
    """`precision`, or for `auto` what suits this processor and the memory it has.

    int8 answers as float32 does and is the fastest to read a prompt where 8-bit products are fast;
    int4 where only its kernels use the dot-product instructions, or memory is short.
    """
    if precision != "auto":
        kind(precision)
        return precision
    if fast_dynamic_int4() or shape.parameters + _BESIDE > _memory():
        return "int4"
    return "int8"


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


def _memory() -> int:
    """Bytes of memory that this process may have."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:
            limit = file.read().strip()
    except OSError:
        return found
    return min(found, int(limit)) if limit.isdigit() else found

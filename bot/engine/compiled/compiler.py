"""From the kernels' sources to machine code for this processor: numba to LLVM's language, LLVM to bytes.

The code needs nothing of numba: it neither takes memory nor raises, and calls the C library alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from llvmlite import binding as llvm
from numba import float32, int64, njit

# Without exceptions and wrappers for Python, neither of which is there when it runs.
kernel: Callable[..., Any] = partial(
    njit, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True
)


def object_code(function: Any, machine: llvm.TargetMachine) -> tuple[str, bytes]:
    """A kernel of six int64 and a float32, with all that it calls: its symbol, and an object file."""
    signature = (*(int64,) * 6, float32)
    function.compile(signature)
    name: str = function.overloads[signature].fndesc.llvm_func_name
    # What would free an array of numba's own memory, of which the kernels have none.
    assembly = function.inspect_llvm(signature).replace("@NRT_MemInfo_call_dtor", "@abort")
    return name, machine.emit_object(llvm.parse_assembly(assembly))

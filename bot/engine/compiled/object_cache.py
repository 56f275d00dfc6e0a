"""Machine code kept beside this package, as Python keeps its own: written by `prepare`, else only read.

It is not kept beside the weights: a model directory may come from anybody. LLVM links it, and numba,
which made it and takes longer to import than the code to load, is not needed.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import logging
import os
import time
from collections.abc import Callable
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from llvmlite import binding as llvm

log = logging.getLogger(__name__)

_HERE = Path(__file__).parent
_PLACE = _HERE / "__pycache__"
_SOURCES = (
    *("job_layout", "vectors", "int8_products", "int4_products", "attention", "compiler"),
    *("row_kernels", "projections", "forward_pass"),
)
# Of numba's functions: where the result and an exception go (both unused), then the kernel's own arguments.
_TYPE = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *(ctypes.c_int64,) * 6, ctypes.c_float
)
_NOWHERE = ctypes.create_string_buffer(64)

Work = Callable[[int, int, int, int, int, int, float], None]


@lru_cache(maxsize=1)
def load() -> Work:
    """`forward_pass.work` as machine code: cached, or compiled where the cache has none for this processor.

    Calls let go of the interpreter's lock.
    """
    machine = _machine()
    try:
        name, code = _parse(_file().read_bytes())
    except (OSError, ValueError):
        began = time.perf_counter()
        name, code = _compiled(machine)
        seconds = time.perf_counter() - began
        log.info("compiled in %.0f s; `python -m bot prepare` keeps that for the next start", seconds)
    return _linked(machine, name, code)


def fill() -> None:
    """Compile, and keep the result: some ten seconds, or nothing where it is kept already."""
    file = _file()
    with contextlib.suppress(OSError, ValueError):
        _parse(file.read_bytes())
        return
    name, code = _compiled(_machine())
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        _PLACE.mkdir(exist_ok=True)
        temporary.write_bytes(name.encode() + b"\n" + code)
        for old in _PLACE.glob("kernels-*.o"):
            old.unlink(missing_ok=True)
        temporary.replace(file)
    except OSError as problem:
        log.warning("compiled code cannot be kept in %s, so each start compiles: %s", _PLACE, problem)
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _file() -> Path:
    """Where the code of these sources, by these compilers, for this processor is kept."""
    digest = hashlib.sha256()
    for source in _SOURCES:
        digest.update((_HERE / f"{source}.py").read_bytes())
    for package in ("numba", "llvmlite"):
        digest.update(metadata.version(package).encode())
    digest.update(f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}".encode())
    return _PLACE / f"kernels-{digest.hexdigest()[:32]}.o"


def _parse(content: bytes) -> tuple[str, bytes]:
    name, _, code = content.partition(b"\n")
    if not code.startswith(b"\x7fELF"):
        raise ValueError("no object file")
    return name.decode(), code


def _compiled(machine: llvm.TargetMachine) -> tuple[str, bytes]:
    from bot.engine.compiled import forward_pass  # numba is imported where it is used only
    from bot.engine.compiled.compiler import object_code

    return object_code(forward_pass.work, machine)


def _machine() -> llvm.TargetMachine:
    """What LLVM makes code for: this processor with all it has."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=3,
        codemodel="jitdefault",
        jit=True,
    )


def _linked(machine: llvm.TargetMachine, name: str, code: bytes) -> Work:
    linker = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    linker.add_object_file(llvm.ObjectFileRef.from_data(code))
    linker.finalize_object()
    function = _TYPE(linker.get_function_address(name))
    nowhere = ctypes.addressof(_NOWHERE)

    def work(
        thread: int, threads: int, thread_pool: int, job: int, listening: int, signalling: int, epsilon: float
    ) -> None:
        function(nowhere, nowhere + 32, thread, threads, thread_pool, job, listening, signalling, epsilon)

    work.linker = linker  # type: ignore[attr-defined]  # the code goes with it
    return work

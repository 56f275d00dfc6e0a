"""How many multiply-adds a second this processor's instructions allow, in registers, on all threads."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bot.engine.kernels.bindings import choose_kernels
from bot.engine.kernels.build_library import HERE, INSTRUCTION_SETS, compiler_flags, machine, system_compiler

# Of each instruction set, as its kernels multiply weights of 8 bits: a vector, its sums, how one is read, a
# multiplication, and its multiply-adds.
_X86 = ("ints", "ints", "load(some)", "dot_int8(sum[i], weights, x)", "LANES * QUAD")
_NEON = ("int8x16_t", "int32x4_t", "vld1q_s8(some)")
_STEPS = {
    "avx2": _X86,
    "avx_vnni": _X86,
    "avx512_vnni": _X86,
    "neon_dotprod": (*_NEON, "dot(sum[i], weights, x, 0)", "16"),
    "neon_i8mm": (*_NEON, "vmmlaq_s32(sum[i], weights, x)", "32"),
}
# What is multiplied is pinned and the sums are kept, or the compiler would leave the work out.
_SOURCE = """
#include "{name}.c"
enum {{ CHAINS = 10 }};
char kept[CHAINS * 64];
double multiply_adds(long rounds) {{
    int8_t some[64] = {{1, -2, 3}};
    {vector} weights = {load}, x = {load};
    {sums} sum[CHAINS] = {{{{0}}}};
    for (long round = 0; round < rounds; round++)
        UNROLL for (int i = 0; i < CHAINS; i++) {{
            ADDED(x);
            sum[i] = {multiply};
            ADDED(sum[i]);
        }}
    memcpy(kept, sum, sizeof sum);
    return (double)rounds * CHAINS * ({count});
}}
"""
_ROUNDS = 5_000_000


def multiply_adds(threads: int) -> float | None:
    """A second, the best of several tries; None for plain C, which has no instruction of its own.

    Raises CalledProcessError where it cannot be compiled.
    """
    name = choose_kernels().name.decode().replace("-", "_")
    if name not in _STEPS:
        return None
    with tempfile.TemporaryDirectory() as folder:
        count = _compiled(name, Path(folder))
        with ThreadPoolExecutor(threads) as workers:
            return max(_rate(count, workers, threads) for _ in range(6))


def _compiled(name: str, folder: Path) -> Callable[[int], float]:
    compiler = system_compiler()
    if compiler is None:
        raise SystemExit("counting multiply-adds needs a C compiler")
    vector, sums, load, multiply, count = _STEPS[name]
    source, library = folder / "multiply.c", folder / "multiply.so"
    text = _SOURCE.format(name=name, vector=vector, sums=sums, load=load, multiply=multiply, count=count)
    source.write_text(text, encoding="ascii")
    others = [str(HERE / f"{each}.c") for each in ("thread_pool", "processor")]
    flags = (*compiler_flags(machine()), *INSTRUCTION_SETS[machine()][name], f"-I{HERE}", "-shared")
    subprocess.run([*compiler, *flags, str(source), *others, "-lm", "-o", str(library)], check=True)
    found = ctypes.CDLL(str(library)).multiply_adds
    found.argtypes, found.restype = [ctypes.c_long], ctypes.c_double
    return found


def _rate(count: Callable[[int], float], workers: ThreadPoolExecutor, threads: int) -> float:
    start = time.perf_counter()
    made = sum(workers.map(count, [_ROUNDS] * threads))
    return made / (time.perf_counter() - start)

"""Loads the compiled kernels and mirrors the structs of `kernels.h`, field by field."""

from __future__ import annotations

import ctypes
import hashlib
import struct
import weakref
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_float, c_int, c_int32, c_int64, c_void_p
from functools import lru_cache
from pathlib import Path

import numpy as np

from bot.engine.errors import EngineError
from bot.engine.kernels.build_library import HERE, INSTRUCTION_SETS, LIBRARY, machine, sources_digest

AUTO, PLAIN = "auto", "plain"

# `enum feature` of processor.h, by the set that needs it.
_FEATURES = {"avx2": 0, "avx_vnni": 1, "avx512_vnni": 2, "neon_dotprod": 3, "neon_i8mm": 4}

_ELF_64_BIT_LITTLE_ENDIAN = b"\x7fELF\x02\x01"
# Elf64_Ehdr: its beginning, e_shoff, then e_shentsize and e_shnum.
_ELF_HEADER = struct.Struct("<40sQ10xHH2x")


# `enum format` of kernels.h: this project's own blocks, then those of GGUF files by their names there.
FORMATS = {name: at for at, name in enumerate(("int8", "Q4_0", "Q5_0", "Q8_0", "Q4_K", "Q5_K", "Q6_K"))}


class KernelsMissing(EngineError):
    """There is no library of these sources; the message says why, and the mend."""


class Matrix(Structure):
    _fields_ = (
        *((name, c_void_p) for name in ("blocks", "scales", "bias")),
        *((name, c_int32) for name in ("outputs", "inputs", "format")),
    )


class Layer(Structure):
    _fields_ = (
        *((name, c_void_p) for name in ("attention_norm", "query_norm", "key_norm", "mlp_norm")),
        *((name, Matrix) for name in ("query", "key", "value", "out", "gate", "up", "down")),
    )


class Model(Structure):
    _fields_ = (
        ("layers", POINTER(Layer)),
        ("norm", c_void_p),
        *((name, c_int32) for name in ("num_layers", "hidden_size", "num_heads", "num_kv_heads")),
        *((name, c_int32) for name in ("head_dim", "intermediate_size")),
        ("rms_norm_eps", c_float),
        ("rope_adjacent", c_int32),
    )


class Segment(Structure):
    _fields_ = (("states", c_void_p), ("capacity", c_int64), ("length", c_int64))


class Token(Structure):
    _fields_ = (
        *((name, c_void_p) for name in ("segments", "into", "mask", "rotation")),
        ("capacity", c_int64),
        *((name, c_int32) for name in ("before", "own", "chunk")),
    )


class Activations(Structure):
    _fields_ = (*((name, c_void_p) for name in ("codes", "scales", "corrections")), ("groups", c_int32))


class Pass(Structure):
    _fields_ = (
        ("model", POINTER(Model)),
        *((name, c_void_p) for name in ("tokens", "output_rows", "states", "queries", "result")),
        *((name, Activations) for name in ("hidden", "attn_out", "inner")),
        ("scratch", c_void_p),
        ("scratch_bytes", c_int64),
        *((name, c_int32) for name in ("rows", "num_outputs", "longest")),
    )


class Product(Structure):
    _fields_ = (
        ("matrix", POINTER(Matrix)),
        *((name, c_void_p) for name in ("x", "y")),
        ("activations", Activations),
        ("scratch", c_void_p),
        ("scratch_bytes", c_int64),
        ("rows", c_int32),
    )


class Quantization(Structure):
    _fields_ = (
        *((name, c_void_p) for name in ("weights", "blocks")),
        *((name, c_int32) for name in ("outputs", "inputs", "format")),
    )


class Kernels(Structure):
    """One instruction set's. Calls let go of the interpreter's lock."""

    _fields_ = (
        ("name", c_char_p),
        ("supported", CFUNCTYPE(c_int)),
        ("forward", CFUNCTYPE(None, c_void_p, POINTER(Pass))),
        ("multiply", CFUNCTYPE(None, c_void_p, POINTER(Product))),
    )


@lru_cache(maxsize=1)
def load_library() -> ctypes.CDLL:
    """The library that was compiled when this package was installed. Raises KernelsMissing."""
    mend = "run `make setup` (or `pip install` again), which compiles them"
    if not LIBRARY.is_file():
        raise KernelsMissing(f"the kernels were not compiled: {mend}, and says what is missing")
    try:
        if _is_cut_short(LIBRARY):
            raise OSError("its end is missing")
        library = ctypes.CDLL(str(LIBRARY))
        library.kernels_sources.restype = library.kernels_compiler.restype = c_char_p
        made_of = library.kernels_sources().decode()
    except (OSError, AttributeError) as problem:
        raise KernelsMissing(f"{LIBRARY} cannot be loaded ({problem}): {mend}") from None
    if (HERE / "kernels.h").is_file() and made_of != sources_digest():
        raise KernelsMissing(f"{LIBRARY} was compiled from other sources than those beside it: {mend}")
    library.kernels_all.restype = POINTER(POINTER(Kernels))
    library.quantize.argtypes = (c_void_p, POINTER(Quantization))
    library.quantize.restype = None
    library.pool_open.restype = c_void_p
    library.pool_open.argtypes = (c_int,)
    library.pool_threads.argtypes = library.pool_close.argtypes = (c_void_p,)
    return library


def _is_cut_short(library: Path) -> bool:
    """Whether an ELF file has less than its header says: it can be loaded, and then SIGBUS ends the process.

    The table of sections is its last part. Other formats (macOS), and what is no library, the loader judges.
    """
    with library.open("rb") as file:
        header = file.read(_ELF_HEADER.size)
    if len(header) < _ELF_HEADER.size or not header.startswith(_ELF_64_BIT_LITTLE_ENDIAN):
        return False
    _, sections, size, count = _ELF_HEADER.unpack(header)
    return bool(library.stat().st_size < sections + size * count)


def made_of() -> str:
    """The digest of the sources that the library was compiled from. Raises KernelsMissing."""
    return str(load_library().kernels_sources().decode())


def made_by() -> str:
    """The compiler that made the library, in its own words. Raises KernelsMissing."""
    return str(load_library().kernels_compiler().decode())


def arithmetic(kernels: Kernels) -> dict[str, str]:
    """What computes keys and values, to the last bit, beside the weights. Raises KernelsMissing."""
    angles = np.arange(4096, dtype=np.float32)  # numpy's sines differ by processor, some in the last bit
    return {
        "kernels": kernels.name.decode(),
        "sources": made_of(),
        "compiler": made_by(),
        "sines": hashlib.sha256(np.sin(angles).tobytes() + np.cos(angles).tobytes()).hexdigest()[:32],
    }


def all_kernels() -> dict[str, Kernels]:
    """Of every instruction set that is built in, by name, the best first. Raises KernelsMissing."""
    found: dict[str, Kernels] = {}
    table = load_library().kernels_all()
    while table[len(found)]:
        kernels = table[len(found)].contents
        found[kernels.name.decode()] = kernels
    return found


def runnable() -> dict[str, Kernels]:
    """Those of them that this processor can run."""
    return {name: each for name, each in all_kernels().items() if each.supported()}


def left_out() -> list[str]:
    """Sets that this processor has, the library has not, and that are better than any it has, the best first.

    The compiler could not make them. Raises KernelsMissing.
    """
    library, known = load_library(), all_kernels()
    found = []
    for name in reversed([*INSTRUCTION_SETS.get(machine(), ())]):
        shown = name.replace("_", "-")
        if shown in known and known[shown].supported():
            break
        if shown not in known and library.processor_has(_FEATURES[name]):
            found.append(shown)
    return found


def choose_kernels(name: str = AUTO) -> Kernels:
    """The best kernels that this processor can run, or those of a name (KERNELS). Raises EngineError."""
    here = runnable()
    if name == AUTO:
        return next(iter(here.values()))
    if name not in here:
        why = "this processor cannot run" if name in all_kernels() else "there are no"
        raise EngineError(f"KERNELS={name}: {why} such kernels; here are auto, {', '.join(here)}")
    return here[name]


class ThreadPool:
    """`threads` threads for the kernels, the caller's among them; fewer where the system allows no more."""

    def __init__(self, threads: int) -> None:
        library = load_library()
        self.address = library.pool_open(threads)
        if not self.address:
            raise MemoryError("no memory for the kernels' threads")
        self.threads: int = library.pool_threads(self.address)
        # Not when Python ends, where a pass may still be running.
        weakref.finalize(self, library.pool_close, self.address).atexit = False

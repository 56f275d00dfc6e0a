"""Compiles the kernels: the C sources beside this file to one library for every processor of a platform.

Of the standard library alone: the build backend runs it before anything is installed, and tests compile
other variants with it. Each instruction set is a source with flags of its own; which of them a processor
has is found out when the library is loaded.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
LIBRARY = HERE / "kernels.so"

_COMMON = ("thread_pool", "processor", "plain", "quantize")
_AVX512 = ("-mavx2", "-mfma", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni")
INSTRUCTION_SETS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "x86_64": {
        "avx2": ("-mavx2", "-mfma"),
        "avx_vnni": ("-mavx2", "-mfma", "-mavxvnni"),
        "avx512_vnni": _AVX512,
    },
    "aarch64": {
        # Not -march, which zig reads as a processor's name.
        "neon_dotprod": ("-mcpu=generic+dotprod",),
        "neon_i8mm": ("-mcpu=generic+dotprod+i8mm",),
    },
}
# Floats are added in the order written, but where a loop says otherwise.
_FLAGS = (
    *("-std=gnu11", "-O3", "-fPIC", "-fvisibility=default", "-pthread", "-fopenmp-simd"),
    *("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"),
)
# gcc may put a vector into a register of MMX: each long double that the thread computes later is then NaN.
_MACHINE_FLAGS = {"x86_64": ("-mno-mmx",)}

_NO_COMPILER = (
    "no C compiler was found, and the package ziglang is not there: the kernels are not built, and torch "
    "computes. Install a compiler (on Debian: apt install gcc libc6-dev) or ziglang, and run `make setup` "
    "(or `pip install` again)."
)

_NOT_WANTED = "they are not built, as WITHOUT_KERNELS says, and torch computes."


class BuildError(Exception):
    """The kernels cannot be compiled; the message says why."""


def wanted() -> bool:
    """Whether to compile at all: WITHOUT_KERNELS is for where neither a compiler nor ziglang can be had."""
    return os.environ.get("WITHOUT_KERNELS", "0") in ("", "0")


def system_compiler() -> list[str] | None:
    """The command of this system's C compiler: CC, else the first that is there and works.

    Raises BuildError where CC is no command.
    """
    named = os.environ.get("CC", "")
    try:
        command = shlex.split(named)
    except ValueError as problem:
        raise BuildError(f"CC={named} is no command: {problem}") from None
    for each in [command] if command else [["cc"], ["gcc"], ["clang"]]:
        if shutil.which(each[0]) and _compiles(each):
            return each
    return None


def zig_compiler() -> list[str] | None:
    """The compiler in the package `ziglang`, where that is installed."""
    if importlib.util.find_spec("ziglang") is None:
        return None
    # Else it would compile for this very processor.
    return [sys.executable, "-m", "ziglang", "cc", "-mcpu=baseline"]


def machine() -> str:
    """This platform, as INSTRUCTION_SETS names it."""
    name = platform.machine().lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(name, name)


def compiler_flags(target: str) -> tuple[str, ...]:
    """What every source is compiled with for the platform `target`, beside its instruction set's own."""
    return (*_FLAGS, *_MACHINE_FLAGS.get(target, ()))


def sources_digest() -> str:
    """A name for the sources and the flags here: the library made of them knows it."""
    digest = hashlib.sha256()
    for source in sorted([*HERE.glob("*.c"), *HERE.glob("*.h"), Path(__file__)]):
        digest.update(source.name.encode() + source.read_bytes())
    return digest.hexdigest()[:32]


def build_or_say_why() -> None:
    """Build the library with whichever compiler there is; without one, or where it fails, stderr says so."""
    if not wanted():
        print(f"kernels: {_NOT_WANTED}", file=sys.stderr)
        return
    try:
        compiler = system_compiler() or zig_compiler()
        if compiler is None:
            print(f"kernels: {_NO_COMPILER}", file=sys.stderr)
            return
        print(f"kernels: compiling them with {shlex.join(compiler)}", file=sys.stderr)
        for name, why in build(compiler).items():
            print(f"kernels: {name} is left out, for {why}", file=sys.stderr)
    except BuildError as problem:
        LIBRARY.unlink(missing_ok=True)
        print(f"kernels: {problem}\nThey are not built, and torch computes.", file=sys.stderr)


def build(compiler: Sequence[str], library: Path = LIBRARY) -> dict[str, str]:
    """Write `library`, whole or not at all; the instruction sets that it has not, and why.

    Raises BuildError.
    """
    sets = INSTRUCTION_SETS.get(machine(), {})
    with tempfile.TemporaryDirectory() as folder:
        objects, left_out = compile_objects(compiler, Path(folder), machine(), sets)
        temporary = library.with_name(f".{library.name}.{os.getpid()}")
        try:
            _run([*compiler, "-shared", "-pthread", *objects, "-lm", "-o", str(temporary)])
            with temporary.open("rb") as made:
                os.fsync(made.fileno())  # else a power cut may leave the name and a part of what it names
            temporary.replace(library)
        finally:
            temporary.unlink(missing_ok=True)
    return left_out


def compile_objects(
    compiler: Sequence[str],
    folder: Path,
    target: str,
    sets: Mapping[str, Sequence[str]],
    extra: Sequence[str] = (),
) -> tuple[list[str], dict[str, str]]:
    """The object files for the platform `target`, in `folder`, and the instruction sets of `sets` that could
    not be compiled, and why.

    Raises BuildError.
    """

    def compiled(name: str, *flags: str) -> str:
        into = str(folder / f"{name}.o")
        _run([*compiler, *compiler_flags(target), *flags, *extra, "-c", str(HERE / f"{name}.c"), "-o", into])
        return into

    # A set fewer is slower, and nothing else: the others and plain C compute the same.
    def compiled_if_possible(name: str) -> tuple[str | None, str]:
        try:
            return compiled(name, *sets[name]), ""
        except BuildError as problem:
            if not _compiles([*compiler, *sets[name]]):
                return None, f"this compiler does not know {' '.join(sets[name])}"
            return None, f"its source does not compile: {_gist(str(problem))}"

    with ThreadPoolExecutor(os.cpu_count()) as workers:
        common = [workers.submit(compiled, name) for name in _COMMON]
        found = dict(zip(sets, workers.map(compiled_if_possible, sets), strict=True))
        objects = [each.result() for each in common] + [made for made, _ in found.values() if made]
    known = [f"-DHAS_{name.upper()}" for name, (made, _) in found.items() if made]
    objects.append(compiled("kernels", *known, f'-DSOURCES="{sources_digest()}"'))
    return objects, {name: why for name, (made, why) in found.items() if not made}


def _gist(said: str) -> str:
    """The first error in what a compiler said, else its last line."""
    lines = said.splitlines()
    return next((line for line in lines if "error:" in line), lines[-1]).strip()


def _compiles(command: Sequence[str]) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "empty.c")
        source.write_text("#include <math.h>\n", encoding="ascii")
        try:
            _run([*command, "-shared", "-fPIC", str(source), "-o", f"{folder}/empty.so"])
        except BuildError:
            return False
    return True


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # a compiler
    except OSError as problem:
        raise BuildError(f"{command[0]} cannot be run: {problem}") from None
    if done.returncode:
        raise BuildError(f"{shlex.join(command)} failed:\n{done.stderr.strip()}")

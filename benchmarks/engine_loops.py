"""Inner loops on a Cortex-A76, ours beside ggml's, by llvm-mca: `python benchmarks/engine_loops.py GGML`.

GGML is the folder `ggml` of llama.cpp's sources (`pip download --no-binary :all: llama-cpp-python` has it
under vendor/llama.cpp). Both are compiled by the same clang, zig's, with the same flags for a Raspberry
Pi 5; llvm-mca then tells how many cycles an iteration of the loop takes with all it reads in the first
cache. It prints the table of `docs/engine.md`. Needs llvm-mca.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KERNELS = ROOT / "bot" / "engine" / "kernels"
ZIG = (sys.executable, "-m", "ziglang")
FOR_A76 = (
    "-target",
    "aarch64-linux-gnu",
    "-mcpu=cortex_a76",
    "-O3",
    "-S",
    "-Wno-unused-command-line-argument",
)
SDOT = 16  # multiply-adds of one
# Rows at once: 1 is a decode, more a prefill. ggml's are those that llama.cpp takes on this processor.
GGML_LOOPS = {
    ("int8", "decode"): ("repack.cpp", "ggml_gemv_q8_0_4x4_q8_0"),
    ("int8", "prefill"): ("repack.cpp", "ggml_gemm_q8_0_4x4_q8_0"),
}
OUR_ROWS = {"decode": 1, "prefill": 8}


def our_assembly(folder: Path) -> str:
    """The tiles of neon_dotprod.c, a function each."""
    functions = [
        f"void int8_{use}(const struct int8_block *b, struct view x, int g, struct ahead *a, float *s)"
        f"{{ tile_int8({rows}, b, x, g, a, s, 32); }}"
        for use, rows in OUR_ROWS.items()
    ]
    source = folder / "tiles.c"
    source.write_text("\n".join(('#include "neon_dotprod.c"', *functions)), encoding="ascii")
    return assembly("cc", source, "-std=gnu11", f"-I{KERNELS}")


def ggml_assembly(ggml: Path, file: str) -> str:
    """ggml's kernels for ARM."""
    cpu = ggml / "src" / "ggml-cpu"
    folders = (cpu, cpu.parent, ggml / "include")
    return assembly(
        "c++", cpu / "arch" / "arm" / file, "-std=c++17", "-D_GNU_SOURCE", *(f"-I{each}" for each in folders)
    )


def assembly(compiler: str, source: Path, *flags: str) -> str:
    """What clang makes of a source. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "made.s")
        subprocess.run((*ZIG, compiler, *FOR_A76, *flags, str(source), "-o", str(made)), check=True)
        return made.read_text(encoding="latin-1")  # debugging data is of any bytes


def inner_loop(text: str, function: str) -> list[str]:
    """The loop of a function that multiplies most. Raises SystemExit where there is none."""
    start = re.search(rf"^\w*{function}\w*:", text, re.MULTILINE)
    if start is None:
        raise SystemExit(f"there is no {function} in what was compiled")
    body = text[start.end() :]
    body = body[: body.index(".cfi_endproc")]
    loops: list[list[str]] = []
    begun: dict[str, int] = {}
    lines: list[str] = []
    body = re.sub(r"\.inst\s+(0x4f\w+)", _sdot, body)  # as ggml writes them for old assemblers
    for line in (each.split("//")[0].strip() for each in body.splitlines()):
        if label := re.fullmatch(r"(\.?\w+):", line):
            begun[label[1]] = len(lines)
        elif line and not line.startswith("."):
            lines.append(line)
            branch = re.fullmatch(r"(?:b\.?\w+|cbn?z\s+\w+,|tbn?z\s+\w+,\s*#\d+,)\s+(\.?\w+?)b?", line)
            if branch and branch[1] in begun:
                loops.append(lines[begun[branch[1]] :])
    inner = [loop for loop in loops if not any(loop is not other and _within(other, loop) for other in loops)]
    return max(inner, key=lambda loop: sum("sdot" in line for line in loop))


def _sdot(match: re.Match[str]) -> str:
    """A number as the instruction that it is (Arm's architecture manual: SDOT, by element)."""
    code = int(match[1], 16)
    factor, element = code >> 16 & 31, code >> 10 & 2 | code >> 21 & 1
    return f"sdot v{code & 31}.4s, v{code >> 5 & 31}.16b, v{factor}.4b[{element}]"


def _within(inner: list[str], outer: list[str]) -> bool:
    return len(inner) < len(outer) and any(
        outer[at : at + len(inner)] == inner for at in range(len(outer) - len(inner) + 1)
    )


def multiply_adds_a_cycle(loop: list[str]) -> float:
    """By llvm-mca, over a hundred iterations. Raises CalledProcessError."""
    command = ("llvm-mca", "-mtriple=aarch64-linux-gnu", "-mcpu=cortex-a76", "-iterations=100")
    text = "\n".join(loop[:-1]) + "\n"  # the branch back is a guess of its own
    told = subprocess.run(command, input=text, check=True, capture_output=True, text=True).stdout
    cycles = re.search(r"Total Cycles:\s+(\d+)", told)
    assert cycles is not None
    return 100 * SDOT * sum("sdot" in line for line in loop) / int(cycles[1])


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ggml", type=Path, help="llama.cpp's folder ggml")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ours = our_assembly(Path(folder))
    theirs = {file: ggml_assembly(options.ggml, file) for file in {each for each, _ in GGML_LOOPS.values()}}
    print("| weights | use | this engine | ggml |\n| --- | --- | ---: | ---: |")
    for (bits, use), (file, function) in GGML_LOOPS.items():
        loops = inner_loop(ours, f"{bits}_{use}"), inner_loop(theirs[file], function)
        rates = [f"{multiply_adds_a_cycle(loop):.1f}" for loop in loops]
        print(f"| {bits} | {use} | {rates[0]} | {rates[1]} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())

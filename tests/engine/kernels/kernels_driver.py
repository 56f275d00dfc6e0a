"""The kernels of many processors, each in a process of its own (driver.c), and what they are to compute."""

from __future__ import annotations

import math
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from ctypes import memmove, sizeof, string_at
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from bot.engine.kernels.bindings import FORMATS, Pass, Segment, Token, load_library
from bot.engine.kernels.build_library import (
    HERE,
    INSTRUCTION_SETS,
    compile_objects,
    compiler_flags,
    machine,
    system_compiler,
    zig_compiler,
)
from bot.engine.quantization.quantize import pack_int8
from bot.engine.weights.block_formats import BLOCK, GGUF_FORMATS, GROUP, row_shape, turn

ROOM = Path(__file__).parent
_MULTIPLY, _FORWARD, _DEQUANTIZE, _QUANTIZE = 0, 1, 2, 3  # see driver.c
QEMU = "qemu-aarch64-static"
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1")
Floats = NDArray[np.float32]


class ToolMissing(Exception):
    """What these kernels need to be compiled or run."""


@dataclass
class Matrix:
    """A matrix of weights, as the driver reads it and as numbers."""

    format: str
    bias: Floats | None

    @property
    def shape(self) -> tuple[int, int]:
        raise NotImplementedError

    def blocks(self) -> bytes:
        raise NotImplementedError

    def numbers(self) -> NDArray[np.float64]:
        """[outputs, inputs]."""
        raise NotImplementedError

    def packed(self) -> bytes:
        """As driver.c reads it."""
        outputs, inputs = self.shape
        header = struct.pack("4i", FORMATS[self.format], outputs, inputs, self.bias is not None)
        bias = b"" if self.bias is None else np.pad(self.bias, (0, -outputs % BLOCK)).tobytes()
        return header + self.blocks() + bias

    def product(self, x: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """x W^T + bias over the quantized x, and how far float32 sums from group to group may be from it."""
        more = ((0, 0), (0, -x.shape[1] % GROUP))
        codes, scales = quantized(np.pad(x, more).reshape(len(x), -1, GROUP))
        x, weights = (codes * scales[:, :, None]).reshape(len(x), -1), np.pad(self.numbers(), more)
        bias = np.zeros(len(weights)) if self.bias is None else self.bias.astype(np.float64)
        size = np.abs(x) @ np.abs(weights).T + np.abs(bias)
        return x @ weights.T + bias, size * (codes.shape[1] + 8) * 2.0**-24 + 1e-37


@dataclass
class OwnMatrix(Matrix):
    """int8."""

    codes: NDArray[np.int64]  # [outputs, inputs]
    scales: Floats  # [outputs]

    @property
    def shape(self) -> tuple[int, int]:
        return self.codes.shape

    def blocks(self) -> bytes:
        outputs, inputs = self.shape
        more = ((0, -outputs % BLOCK), (0, -inputs % GROUP))
        codes = np.pad(self.codes, more)
        return pack_int8(codes.astype(np.int8)).tobytes() + np.pad(self.scales, more[0]).tobytes()

    def numbers(self) -> NDArray[np.float64]:
        return self.codes * self.scales.astype(np.float64)[:, None]


@dataclass
class FileMatrix(Matrix):
    """Rows of a GGUF file."""

    rows: NDArray[np.uint8]  # [outputs, bytes]

    @property
    def shape(self) -> tuple[int, int]:
        block = GGUF_FORMATS[self.format]
        return len(self.rows), self.rows.shape[1] // block.size * block.inputs

    def blocks(self) -> bytes:
        return turn(self.rows, self.format).tobytes()

    def as_file(self) -> Floats:
        """Its numbers, as the format's own library has them."""
        found: Floats = gguf.dequantize(self.rows, gguf.GGMLQuantizationType[self.format])
        return found

    def numbers(self) -> NDArray[np.float64]:
        return self.as_file().astype(np.float64)

    def product(self, x: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """See Matrix. Where there are mins, a weight is a difference, whose parts may be larger."""
        right, bound = super().product(x)
        if self.format in ("Q4_K", "Q5_K"):
            codes, scales = quantized(x.reshape(len(x), -1, GROUP))
            outputs, inputs = self.shape
            head = self.rows.reshape(outputs, -1, GGUF_FORMATS[self.format].size)[:, :, 2:4]
            mins = np.abs(np.ascontiguousarray(head).view(np.float16)[..., 0].astype(np.float64)) * 63
            sums = np.abs(codes).sum(2) * scales
            bound = bound + sums @ mins.repeat(8, 1).T * (inputs / GROUP + 8) * 2.0**-23
        return right, bound


def quantized(groups: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Activations [rows, groups, 32] in 8 bits: codes and [rows, groups] scales."""
    peak = np.abs(groups).max(2)
    with np.errstate(all="ignore"):
        inverse = np.where(peak > np.float32(1e-30), np.float32(127) / peak, np.float32(0))
        codes = np.rint(groups * inverse[:, :, None])
    scales = np.where(np.isfinite(peak), peak / np.float32(127), np.nan)
    return np.nan_to_num(codes).astype(np.float64), scales.astype(np.float64)


@dataclass
class Build:
    """How the driver is compiled for `target` and run. kernels: of which sets; empty: all that run here."""

    compiler: Sequence[str] | None
    sets: Mapping[str, Sequence[str]]
    extra: Sequence[str] = ()
    runner: Sequence[str] = ()
    kernels: Sequence[str] = ()
    target: str = field(default_factory=machine)
    needs: Mapping[str, bool] = field(default_factory=dict)

    def executable(self, folder: Path) -> list[str]:
        """The command of the compiled driver. Raises ToolMissing and BuildError."""
        needs = {"a C compiler, or the package ziglang": self.compiler is not None, **self.needs}
        if missing := [name for name, there in needs.items() if not there]:
            raise ToolMissing(f"needs {', '.join(missing)}")
        assert self.compiler is not None
        objects, unknown = compile_objects(self.compiler, folder, self.target, self.sets, self.extra)
        assert not unknown
        into = folder / "driver"
        source = [*compiler_flags(self.target), f"-I{HERE}", str(ROOM / "driver.c")]
        subprocess.run([*self.compiler, *source, *self.extra, *objects, "-lm", "-o", str(into)], check=True)
        return [*self.runner, str(into)]


def builds() -> dict[str, Build]:
    """Every kernel there is, on this processor, emulated or in C in place of the instructions."""
    native, zig = system_compiler() or zig_compiler(), zig_compiler()
    here = INSTRUCTION_SETS.get(machine(), {})
    simde = (f"-I{ROOM / 'simde'}", "-Wno-psabi", "-O0")  # all else takes minutes to compile
    arm = {
        "compiler": [*zig, "-target", "aarch64-linux-musl", "-static"] if zig else None,
        "sets": INSTRUCTION_SETS["aarch64"],
        "target": "aarch64",
        "needs": {f"{QEMU} (Debian: qemu-user-static)": shutil.which(QEMU) is not None},
    }
    return {
        "native": Build(native, here),
        "sanitized": Build(native, here, SANITIZE),
        "x86 in C": Build(
            native,
            dict.fromkeys(("avx_vnni", "avx512_vnni"), simde),
            kernels=("avx-vnni", "avx512-vnni"),
            needs={"SIMDe (Debian: libsimde-dev)": Path("/usr/include/simde/x86/avx512.h").is_file()},
        ),
        "cortex-a72": Build(**arm, runner=(QEMU, "-cpu", "cortex-a72"), kernels=("plain",)),
        "cortex-a76": Build(**arm, runner=(QEMU, "-cpu", "cortex-a76"), kernels=("neon-dotprod",)),
        "armv9": Build(**arm, runner=(QEMU, "-cpu", "max"), kernels=("neon-i8mm",)),
    }


class Driver:
    """One processor's kernels, waiting for requests."""

    def __init__(self, command: Sequence[str], kernels: str) -> None:
        self.kernels = kernels
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed in close()
        self._process = subprocess.Popen(
            [*command, kernels], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors
        )

    def multiply(self, matrix: Matrix, x: Floats, threads: int = 1) -> Floats:
        """x W^T + bias, [rows, outputs]."""
        outputs, rows = matrix.shape[0], len(x)
        header = struct.pack("3i", _MULTIPLY, threads, rows)
        return self._ask([header, matrix.packed(), x.tobytes()], rows * outputs).reshape(rows, outputs)

    def dequantize(self, matrix: FileMatrix) -> Floats:
        """The numbers of a matrix, [outputs, inputs]."""
        outputs, inputs = matrix.shape
        parts = [struct.pack("i", _DEQUANTIZE), matrix.packed()]
        return self._ask(parts, outputs * inputs).reshape(outputs, inputs)

    def quantize(self, weights: Floats, name: str, threads: int = 1) -> NDArray[np.uint8]:
        """The rows of a file, [outputs, bytes]; as many outputs as make a multiple of four bytes."""
        (outputs, inputs), block = weights.shape, GGUF_FORMATS[name]
        size = outputs * inputs // block.inputs * block.size
        header = struct.pack("6i", _QUANTIZE, threads, FORMATS[name], outputs, inputs, size)
        return self._ask([header, weights.tobytes()], size // 4).view(np.uint8).reshape(outputs, -1)

    def forward(self, pool: int, work: Any) -> None:
        """In place of the kernels' own: what a CompiledDecoder hands over, computed by this processor."""
        given: Pass = work._obj
        model, layers = given.model.contents, given.model.contents.layers
        hidden, head_dim, rows = model.hidden_size, model.head_dim, given.rows
        tokens = np.frombuffer(string_at(given.tokens, rows * sizeof(Token)), np.dtype(Token))
        sequences = tokens[tokens["own"] == 0]
        header = (
            *(_FORWARD, load_library().pool_threads(pool), rows, model.num_layers, hidden),
            *(model.num_heads, model.num_kv_heads, head_dim, model.intermediate_size),
            *(bool(layers[0].query_norm), model.rope_adjacent, given.num_outputs, given.longest),
            *(len(sequences), given.scratch_bytes, model.rms_norm_eps),
        )
        parts = [struct.pack("15if", *header)]
        for layer in layers[: model.num_layers]:
            norms = ((layer.attention_norm, hidden), (layer.query_norm, head_dim), (layer.key_norm, head_dim))
            parts += [string_at(norm, 4 * size) for norm, size in (*norms, (layer.mlp_norm, hidden)) if norm]
            for matrix in (
                *(layer.query, layer.key, layer.value, layer.out),
                layer.gate,
                layer.up,
                layer.down,
            ):
                padded, name = -(-matrix.outputs // BLOCK) * BLOCK, list(FORMATS)[matrix.format]
                sizes = (matrix.format, matrix.outputs, matrix.inputs, bool(matrix.bias))
                parts.append(struct.pack("4i", *sizes))
                parts.append(
                    string_at(matrix.blocks, padded // BLOCK * math.prod(row_shape(name, matrix.inputs)))
                )
                parts += [string_at(each, 4 * padded) for each in (matrix.scales, matrix.bias) if each]
        parts += [string_at(model.norm, 4 * hidden)]
        parts += [string_at(int(each), 4 * head_dim) for each in tokens["rotation"]]
        lines = model.num_layers * 2 * model.num_kv_heads
        made: list[tuple[int, int]] = []  # address and floats of each segment with tokens of this pass
        for token in sequences:
            before, chunk, mask = int(token["before"]), int(token["chunk"]), int(token["mask"])
            segments, start = segments_of(int(token["segments"]), before + chunk), 0
            parts.append(struct.pack("4i", len(segments), before, chunk, bool(mask)))
            parts.append(string_at(mask, chunk * chunk) if mask else b"")
            for segment in segments:
                size = ((lines - 1) * segment.capacity + segment.length) * head_dim
                parts.append(struct.pack("2i", segment.capacity, segment.length))
                parts.append(string_at(segment.states, 4 * size))
                start += segment.length
                if start > before:
                    made.append((segment.states, size))
        parts += [
            string_at(given.output_rows, 4 * given.num_outputs),
            string_at(given.states, 4 * rows * hidden),
        ]
        made.insert(0, (given.result, given.num_outputs * hidden))
        sizes = [size for _, size in made]
        answers = np.split(self._ask(parts, sum(sizes)), np.cumsum(sizes)[:-1])
        for (into, _), answer in zip(made, answers, strict=True):
            memmove(into, answer.tobytes(), answer.nbytes)

    def _ask(self, parts: Sequence[bytes], count: int) -> Floats:
        """So many floats of an answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(b"".join(parts))
            self._process.stdin.flush()
            answer = self._process.stdout.read(4 * count)
        except BrokenPipeError:
            answer = b""
        if len(answer) < 4 * count:
            self._errors.seek(0)
            raise AssertionError(f"{self.kernels} ended: {self._errors.read().decode(errors='replace')}")
        return np.frombuffer(answer, np.float32)

    def close(self) -> None:
        self._process.communicate()
        self._errors.close()


def segments_of(address: int, tokens: int) -> list[Segment]:
    """Those of a sequence of so many tokens."""
    found: list[Segment] = []
    while tokens > 0:
        found.append(Segment.from_address(address + len(found) * sizeof(Segment)))
        tokens -= found[-1].length
    return found


def supported(command: Sequence[str]) -> list[str]:
    """The names of the kernels that the processor has, the best first."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

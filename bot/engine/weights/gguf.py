"""A GGUF file: its metadata, and its tensors as the bytes they are or as float32.

The file is mapped once and read-only, so that a second start finds its pages in memory and two processes
share them.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bot.engine.config.arrays import DTYPES, Floats, StoredTensor
from bot.engine.weights.gguf_header import GGUFError, GGUFTensor, read_header

__all__ = ["GGUFError", "GGUFFile", "GGUFTensor", "RowsInGGUF"]

_AT_ONCE = 1 << 20  # numbers dequantized at once: the library's own arrays are several times as large
_SHORTEST = 24  # bytes: magic, version and the two counts


class GGUFFile:
    """metadata: values by key, arrays of strings as lists, of numbers as numpy's. tensors: by name."""

    def __init__(self, file: Path) -> None:
        """Raises GGUFError naming the file where it is damaged, of an unknown version, or cannot be read."""
        self.file = file
        try:
            self._number = os.open(file, os.O_RDONLY)
        except OSError as problem:
            raise GGUFError(f"{file} cannot be read ({problem.strerror}): correct its path or mode") from None
        weakref.finalize(self, os.close, self._number)
        try:
            if os.fstat(self._number).st_size < _SHORTEST:
                raise GGUFError("is cut short or is not a GGUF file: fetch it again")
            self._map = mmap.mmap(self._number, 0, access=mmap.ACCESS_READ)
            self.metadata, self.tensors = read_header(self._map)
        except GGUFError as problem:
            raise GGUFError(f"{file} {problem}") from None
        except OSError as problem:  # a directory
            raise GGUFError(f"{file} cannot be mapped ({problem.strerror}): give a GGUF file") from None
        self._bytes = np.frombuffer(self._map, np.uint8)

    def bytes_of(self, name: str) -> NDArray[np.uint8]:
        """A tensor as it is stored, [nbytes]: a read-only view of the mapped file. Raises GGUFError."""
        tensor = self._tensor(name)
        return self._bytes[tensor.begin : tensor.begin + tensor.nbytes]

    def floats(self, name: str, which: slice = slice(None)) -> Floats:
        """A tensor's numbers in its shape, or those of some of its first dimension. Raises GGUFError."""
        tensor = self._tensor(name)
        rows = self.bytes_of(name).reshape(tensor.shape[0] if len(tensor.shape) > 1 else 1, -1)
        if len(tensor.shape) == 1:
            numbers: Floats = _dequantize(self.file, tensor, rows)[0]
            return numbers[which]
        return _dequantize(self.file, tensor, rows[which]).reshape(-1, *tensor.shape[1:])

    def rows_of(self, name: str) -> RowsInGGUF:
        """A matrix that stays in the file. Raises GGUFError."""
        tensor = self._tensor(name)
        if len(tensor.shape) != 2:
            raise GGUFError(
                f"{self.file} has {name} as {list(tensor.shape)}, which is no matrix: fetch it again"
            )
        return RowsInGGUF(self.file, tensor, os.dup(self._number))

    def release(self) -> None:
        """Let the pages read so far count as this process's no more; what is read again is mapped again."""
        with contextlib.suppress(AttributeError, OSError):  # not every system can
            self._map.madvise(mmap.MADV_DONTNEED)

    def _tensor(self, name: str) -> GGUFTensor:
        if name not in self.tensors:
            raise GGUFError(f"{self.file} has no tensor {name}: fetch the model again")
        return self.tensors[name]


class RowsInGGUF:
    """Rows are read from the file and dequantized; the file's map does not grow in this process by them."""

    def __init__(self, file: Path, tensor: GGUFTensor, number: int) -> None:
        """`number`: the open file's, which is closed with this object. The metadata are not kept."""
        self.shape = tensor.shape
        self._file, self._tensor, self._number = file, tensor, number
        weakref.finalize(self, os.close, number)

    def rows(self, which: Sequence[int]) -> Floats:
        """Some rows as float32, [which, columns]. Raises IndexError, and GGUFError where the file ends."""
        if len(which) and not 0 <= min(which) <= max(which) < self.shape[0]:
            raise IndexError(f"there are {self.shape[0]} rows")
        size = self._tensor.nbytes // self.shape[0]
        found = bytearray().join(
            os.pread(self._number, size, self._tensor.begin + row * size) for row in which
        )
        if len(found) != len(which) * size:
            raise GGUFError(f"{self._file} has become shorter: fetch it again and start once more")
        blocks: NDArray[Any] = np.frombuffer(found, np.uint8).reshape(len(which), size)
        return _dequantize(self._file, self._tensor, blocks)


def _dequantize(file: Path, tensor: GGUFTensor, rows: NDArray[np.uint8]) -> Floats:
    """Rows of `tensor`, [rows, bytes of a row], as float32 [rows, numbers of a row]. Raises GGUFError."""
    if tensor.type in ("F32", "F16", "BF16"):
        return StoredTensor(rows.view(DTYPES[tensor.type]), tensor.type).rows()
    import gguf  # only here: the kernels take blocks as they are

    kind = gguf.GGMLQuantizationType[tensor.type]
    numbers = math.prod(tensor.shape[1:]) if len(tensor.shape) > 1 else tensor.shape[0]
    found = np.empty((len(rows), numbers), np.float32)
    step = max(1, _AT_ONCE // numbers)
    try:
        for start in range(0, len(rows), step):
            found[start : start + step] = gguf.dequantize(rows[start : start + step], kind)
    except NotImplementedError:
        raise GGUFError(
            f"{file} has {tensor.name} in {tensor.type}, which is not known: use the Q4_K_M or Q8_0 file"
        ) from None
    return found

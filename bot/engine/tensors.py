"""Tensors in files of the safetensors format (a length, a JSON header, bytes), as numpy's arrays.

numpy has no bfloat16: such tensors are kept as their bits. What computes with torch takes them over with
`bot.engine.torch_tensors`, without a copy.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
TYPES: dict[str, Any] = {
    "F32": np.float32,
    "F16": np.float16,
    "BF16": np.uint16,  # its bits
    "I64": np.int64,
    "I8": np.int8,
    "U8": np.uint8,
}
_LONGEST_HEADER = 1 << 26


@dataclass(frozen=True)
class Stored:
    """One tensor: its numbers, and the name of their type in the format."""

    data: NDArray[Any]
    type: str

    def rows(self, which: Sequence[int] | NDArray[Any]) -> Floats:
        """Some rows of a matrix as float32, [which, columns]."""
        found = self.data[np.asarray(which, dtype=np.intp)]
        if self.type == "BF16":
            return (found.astype(np.uint32) << 16).view(np.float32)
        return found.astype(np.float32, copy=False)


class TensorFile:
    """The tensors of one file. A view of the file goes with the last array that reads it."""

    def __init__(self, file: Path) -> None:
        """Raises ValueError, KeyError, TypeError or OSError for a file that is not whole."""
        self._file = file
        with file.open("rb") as content:
            length = int.from_bytes(content.read(8), "little")
            if length > _LONGEST_HEADER:
                raise ValueError(f"{file} is not a safetensors file")
            header = json.loads(content.read(length))
        if not isinstance(header, dict):
            raise ValueError(f"{file} does not list its tensors")
        self.metadata: dict[str, str] = header.pop("__metadata__", {})
        self._start = 8 + length
        self._places: dict[str, tuple[str, list[int], int, int]] = {}
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            self._places[name] = (entry["dtype"], entry["shape"], begin, end)
        size = file.stat().st_size
        if self._start + max((end for *_, end in self._places.values()), default=0) != size:
            raise ValueError(f"{file} is cut off")

    @property
    def names(self) -> list[str]:
        """All tensors, in the order written."""
        return list(self._places)

    def get(self, name: str, mapped: bool = True) -> Stored:
        """A tensor; `mapped`: as a view of the file, else read into memory. Raises ValueError or OSError."""
        kind, shape, begin, end = self._places[name]
        if kind not in TYPES:
            raise ValueError(f"{name} is of type {kind}, which no weight has")
        dtype, start = np.dtype(TYPES[kind]), self._start + begin
        if mapped and end > begin and start % dtype.itemsize == 0:
            # Copied where it is written to, so that nothing can change the file.
            view = np.memmap(self._file, dtype, mode="c", offset=start, shape=tuple(shape))
            return Stored(view.view(np.ndarray), kind)
        data = np.empty(end - begin, np.uint8)
        with self._file.open("rb", buffering=0) as content:
            content.seek(start)
            into, at = data.data, 0
            while at < len(into) and (count := content.readinto(into[at:])):
                at += count
        return Stored(data.view(dtype).reshape(shape), kind)

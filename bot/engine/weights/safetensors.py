"""Files of the safetensors format: eight bytes with the header's length, a JSON header, the tensors' bytes.

The library of that name reads bfloat16 into torch alone and writes only what is in memory whole; here a
start without torch maps the weights, and tensors are written one by one as they are quantized.
"""

from __future__ import annotations

import json
import math
import os
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bot.engine.config.arrays import DTYPES, Floats, StoredTensor
from bot.engine.weights.whole_file import written_whole

_LENGTH = 8  # bytes of the header's length
_MAX_HEADER = 1 << 26
_HEADER_ROOM = 1 << 18  # bytes kept free for the header of a file being written: it is known at the end

Shapes = dict[str, tuple[int, ...]]


class SafetensorsError(ValueError):
    """A file that is not whole; the message says what is wrong with it, without its name."""


class SafetensorsFile:
    """The tensors of one file. A memory map lives as long as the last array that reads it."""

    def __init__(self, file: Path) -> None:
        """Read the header. Raises SafetensorsError or OSError for a file that is not whole."""
        self._file = file
        size = file.stat().st_size
        with file.open("rb") as content:
            length = int.from_bytes(content.read(_LENGTH), "little")
            if size < _LENGTH or length > min(size - _LENGTH, _MAX_HEADER):
                raise SafetensorsError("is cut short or is not a safetensors file")
            try:
                header = json.loads(content.read(length))
                self.metadata: dict[str, str] = header.pop("__metadata__", {})
                self._places = {name: _Place(entry) for name, entry in header.items()}
            except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
                raise SafetensorsError("is damaged, its list of tensors cannot be read") from None
        self._start = _LENGTH + length
        whole = self._start + max((place.end for place in self._places.values()), default=0)
        if whole != size:
            raise SafetensorsError(f"has {size} bytes where its list of tensors needs {whole}")

    @property
    def shapes(self) -> Shapes:
        """The shape of each tensor by name, in the order written."""
        return {name: place.shape for name, place in self._places.items()}

    def get(self, name: str, mapped: bool = True) -> StoredTensor:
        """A tensor; `mapped`: as a view of the file, else read into memory. Raises ValueError or OSError."""
        place = self._places[name]
        if place.dtype not in DTYPES:
            raise SafetensorsError(f"has {name} in {place.dtype}, which no weight has")
        dtype, start = DTYPES[place.dtype], self._start + place.begin
        if mapped and place.end > place.begin and start % dtype.itemsize == 0:
            # Copied where it is written to, so that nothing can change the file.
            view = np.memmap(self._file, dtype, mode="c", offset=start, shape=place.shape)
            return StoredTensor(view.view(np.ndarray), place.dtype)
        data = np.empty(place.end - place.begin, np.uint8)
        with self._file.open("rb", buffering=0) as content:
            content.seek(start)
            into, at = data.data, 0
            while at < len(into) and (count := content.readinto(into[at:])):
                at += count
        return StoredTensor(data.view(dtype).reshape(place.shape), place.dtype)

    def rows_of(self, name: str) -> RowsInFile:
        """A matrix that stays in the file. Raises ValueError or OSError."""
        place = self._places[name]
        if place.dtype not in DTYPES or len(place.shape) != 2:
            raise SafetensorsError(f"has {name} as {place.dtype} {place.shape}, which is no matrix")
        return RowsInFile(self._file, self._start + place.begin, place.dtype, place.shape)


class RowsInFile:
    """Rows are read from the file, and none of it is mapped: a map of an embedding brings 64 KB into this
    process for each token that is looked up, all of it in the end."""

    def __init__(self, file: Path, start: int, dtype: str, shape: tuple[int, ...]) -> None:
        """`start`: the matrix's first byte. Raises OSError."""
        self.shape, self._start, self._dtype = shape, start, dtype
        self._number = os.open(file, os.O_RDONLY)
        weakref.finalize(self, os.close, self._number)

    def rows(self, which: Sequence[int]) -> Floats:
        """Some rows as float32, [which, columns]. Raises IndexError, and ValueError where the file ends."""
        if len(which) and not 0 <= min(which) <= max(which) < self.shape[0]:
            raise IndexError(f"there are {self.shape[0]} rows")
        dtype = DTYPES[self._dtype]
        size = self.shape[1] * dtype.itemsize
        found = bytearray().join(os.pread(self._number, size, self._start + row * size) for row in which)
        return StoredTensor(
            np.frombuffer(found, dtype).reshape(len(which), self.shape[1]), self._dtype
        ).rows()


class _Place:
    """Where a tensor lies: its dtype's name, shape, and first and last byte after the header."""

    def __init__(self, entry: Mapping[str, Any]) -> None:
        """Raises ValueError, KeyError or TypeError for an entry that describes no tensor."""
        self.dtype: str = entry["dtype"]
        self.shape = tuple(entry["shape"])
        self.begin, self.end = entry["data_offsets"]
        numbers = (*self.shape, self.begin, self.end)
        if type(self.dtype) is not str or any(type(each) is not int or each < 0 for each in numbers):
            raise ValueError("a size or an offset is no whole number from 0 up")
        length = self.end - self.begin
        if self.dtype in DTYPES and length != math.prod(self.shape) * DTYPES[self.dtype].itemsize:
            raise ValueError("the shape and the bytes do not agree")


@contextmanager
def write_safetensors(file: Path, metadata: Mapping[str, str]) -> Iterator[SafetensorsWriter]:
    """A writer of `file`, which is there whole or not at all. Raises OSError and SafetensorsError."""
    with written_whole(file) as temporary, temporary.open("wb") as out:
        writer = SafetensorsWriter(out, metadata)
        yield writer
        writer.finish()


class SafetensorsWriter:
    """Writes tensors one after the other."""

    def __init__(self, out: BinaryIO, metadata: Mapping[str, str]) -> None:
        self._out = out
        self._header: dict[str, object] = {"__metadata__": dict(metadata)}
        self._end = 0
        out.seek(_HEADER_ROOM)

    def add(self, name: str, tensor: StoredTensor) -> None:
        """Append a tensor."""
        data = np.ascontiguousarray(tensor.data, DTYPES[tensor.dtype]).view(np.uint8).reshape(-1).data
        self._out.write(data)
        begin, self._end = self._end, self._end + len(data)
        self._header[name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [begin, self._end],
        }

    def finish(self) -> None:
        """Write the header, when all tensors are there. Raises SafetensorsError for too many."""
        text, room = json.dumps(self._header).encode(), _HEADER_ROOM - _LENGTH
        if len(text) > room:
            raise SafetensorsError("would have too many tensors for its header")
        self._out.seek(0)
        self._out.write(room.to_bytes(_LENGTH, "little") + text.ljust(room))

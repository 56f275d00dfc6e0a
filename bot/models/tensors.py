"""A safetensors file written one piece at a time, so that no tensor has to be in memory whole."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

NAMES: dict[str, np.dtype[Any]] = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4")}


@dataclass(frozen=True)
class Tensor:
    """One tensor to write: `pieces` yields its numbers in order, in pieces of any size."""

    name: str
    dtype: str  # F16 or F32, as safetensors calls them
    shape: tuple[int, ...]
    pieces: Iterable[NDArray[Any]]

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return int(np.prod(self.shape, dtype=np.int64)) * NAMES[self.dtype].itemsize


def write_tensors(file: Path, tensors: list[Tensor]) -> Iterator[int]:
    """Write `tensors` to `file` in the safetensors layout; yields the bytes written by each piece.

    The layout: eight bytes with the header's length, a JSON header, the numbers in its order.
    Raises ValueError where a tensor's numbers do not fill its shape or do not fit its dtype.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in tensors:
        header[tensor.name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [end, end + tensor.size],
        }
        end += tensor.size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # numbers begin at a multiple of eight, for memory maps
    with file.open("wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors:
            written = 0
            for piece in tensor.pieces:
                numbers = piece.astype(NAMES[tensor.dtype])
                if not np.isfinite(numbers).all():
                    raise ValueError(f"{tensor.name} has a number that {tensor.dtype} cannot hold")
                written += out.write(numbers.tobytes())
                yield numbers.nbytes
            if written != tensor.size:
                raise ValueError(f"{tensor.name} has {written} bytes instead of {tensor.size}")

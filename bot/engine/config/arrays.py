"""Array types of the engine: numpy's, with bfloat16 kept as its bits, since numpy has none; token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

# dtypes by their names in the safetensors format
DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),  # its bits
    "I64": np.dtype("<i8"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
}


class Rows(Protocol):
    """A matrix of which some rows are wanted at a time."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def rows(self, which: Sequence[int]) -> Floats:
        """Some rows as float32, [which, columns]."""
        ...


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a weights file: its array, and the name of its dtype in the safetensors format."""

    data: NDArray[Any]
    dtype: str

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    def rows(self, which: Sequence[int] | NDArray[Any] | slice = slice(None)) -> Floats:
        """Some rows of a matrix as float32, [which, columns]; of all, a vector's numbers as well."""
        found = self.data[which if isinstance(which, slice) else np.asarray(which, dtype=np.intp)]
        if self.dtype == "BF16":
            return (found.astype(np.uint32) << 16).view(np.float32)
        return found.astype(np.float32, copy=False)


def to_bfloat16(numbers: Floats) -> NDArray[np.uint16]:
    """The nearest bfloat16 of finite numbers, halves to even, as its bits."""
    bits = np.ascontiguousarray(numbers).view(np.uint32)
    return (bits + 0x7FFF + (bits >> 16 & 1) >> 16).astype(np.uint16)


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """How many leading tokens two sequences share."""
    for at, (left, right) in enumerate(zip(a, b, strict=False)):
        if left != right:
            return at
    return min(len(a), len(b))

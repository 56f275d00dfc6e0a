"""What blocks the kernels multiply (`kernels.h`, `gguf_blocks.h`), and a GGUF file's rows turned into them.

32 outputs are side by side: int8 of this project has 32 inputs a block, a format of GGUF as many as it has
there. In a file the inputs of one output are together; turned, four bytes of all 32 outputs are, and
then the next four (of float16 scales, two). No bit is changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCK, GROUP = 32, 32
_AT_ONCE = 1 << 22  # bytes turned at once: what stays in the processor's cache

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class BlockFormat:
    """Of one block of one output. size: in bytes. scale_at: where a float16 is that stands alone."""

    inputs: int
    size: int
    scale_at: int | None = None

    @property
    def fields(self) -> list[tuple[int, int, int]]:
        """Beginning, end, and bytes of an output that stay together."""
        if self.scale_at is None:
            return [(0, self.size, 4)]
        rest = (2, self.size) if self.scale_at == 0 else (0, self.scale_at)
        return sorted([(self.scale_at, self.scale_at + 2, 2), (*rest, 4)])


GGUF_FORMATS: Mapping[str, BlockFormat] = {
    "Q4_0": BlockFormat(32, 18, scale_at=0),
    "Q5_0": BlockFormat(32, 22, scale_at=0),
    "Q8_0": BlockFormat(32, 34, scale_at=0),
    "Q4_K": BlockFormat(256, 144),
    "Q5_K": BlockFormat(256, 176),
    "Q6_K": BlockFormat(256, 210, scale_at=208),
}


def row_shape(name: str, inputs: int) -> tuple[int, int]:
    """How many blocks 32 outputs have, and how many bytes each. `name`: a format's."""
    if name == "int8":
        return -(-inputs // GROUP), BLOCK * GROUP
    found = GGUF_FORMATS[name]
    return inputs // found.inputs, BLOCK * found.size


def turn(rows: Bytes, name: str) -> Bytes:
    """[outputs / 32 rounded up, blocks, bytes] of a file's rows, [outputs, bytes]; what is beyond is zero."""
    block = GGUF_FORMATS[name]
    outputs, count = len(rows), rows.shape[1] // block.size
    found = np.zeros((-(-outputs // BLOCK), count, BLOCK * block.size), np.uint8)
    step = max(1, _AT_ONCE // (BLOCK * rows.shape[1]))
    for first in range(0, len(found), step):
        some = rows[first * BLOCK : (first + step) * BLOCK]
        if len(some) % BLOCK:
            some = np.concatenate((some, np.zeros((-len(some) % BLOCK, rows.shape[1]), np.uint8)))
        apart = some.reshape(-1, BLOCK, count, block.size).transpose(0, 2, 1, 3)
        for begin, end, together in block.fields:
            units = np.ascontiguousarray(apart[..., begin:end]).view(f"<u{together}")
            into = found[first : first + step, :, begin * BLOCK : end * BLOCK]
            into[...] = np.ascontiguousarray(units.swapaxes(2, 3)).view(np.uint8).reshape(into.shape)
    return found

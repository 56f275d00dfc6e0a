"""A small bar chart as a PNG file, drawn without a graphics library."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

HEIGHT = 160
_BAR, _GAP, _MARGIN = 14, 4, 10
_PAPER, _AXIS, _UP, _DOWN = 0, 1, 2, 3
_COLOURS = bytes([255, 255, 255, 150, 150, 150, 42, 157, 143, 231, 111, 81])


def draw(values: Sequence[float]) -> bytes:
    """Bars from -1 (down, orange) to 1 (up, green), in order."""
    width = 2 * _MARGIN + len(values) * (_BAR + _GAP)
    middle = HEIGHT // 2
    rows = [bytearray(width) for _ in range(HEIGHT)]
    for number, value in enumerate(values):
        left = _MARGIN + number * (_BAR + _GAP)
        size = max(2, round(min(1.0, abs(value)) * (middle - _MARGIN)))
        top = middle - size if value >= 0 else middle
        for row in rows[top : top + size]:
            row[left : left + _BAR] = bytes([_UP if value >= 0 else _DOWN]) * _BAR
    rows[middle] = bytearray([_AXIS]) * width
    pixels = b"".join(b"\x00" + bytes(row) for row in rows)
    header = struct.pack(">IIBBBBB", width, HEIGHT, 8, 3, 0, 0, 0)  # 8 bits a pixel, by palette
    parts = [(b"IHDR", header), (b"PLTE", _COLOURS), (b"IDAT", zlib.compress(pixels, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in parts)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

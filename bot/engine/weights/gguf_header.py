"""What stands before the numbers of a GGUF file: its metadata and its table of tensors, each claim checked.

The format (little-endian, versions 2 and 3): "GGUF", version u32, number of tensors u64, number of metadata
entries u64; the entries (key, type u32, value); the tensors (name, number of dimensions u32, the dimensions
u64 with the fastest first, type u32, offset u64); then, aligned, the numbers. A string is its length as u64
and UTF-8. Nothing is allocated because a length claims it: lengths are held against the bytes that are left.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from mmap import mmap
from typing import Any

import numpy as np

from bot.engine.errors import EngineError

Metadata = dict[str, Any]

MAX_DIMENSIONS = 4
MAX_NESTING = 4  # of arrays in arrays; no known file has any
_MAGIC, _VERSIONS = b"GGUF", (2, 3)
_ALIGNMENT_KEY, _ALIGNMENT = "general.alignment", 32
_SHORTEST_ENTRY, _SHORTEST_TENSOR = 13, 32  # bytes: with an empty key or name, one byte or one dimension
_BOOL, _STRING, _ARRAY = 7, 8, 9
_NUMBERS: dict[int, np.dtype[Any]] = {
    0: np.dtype("u1"),
    1: np.dtype("i1"),
    2: np.dtype("<u2"),
    3: np.dtype("<i2"),
    4: np.dtype("<u4"),
    5: np.dtype("<i4"),
    6: np.dtype("<f4"),
    _BOOL: np.dtype("u1"),
    10: np.dtype("<u8"),
    11: np.dtype("<i8"),
    12: np.dtype("<f8"),
}
# Of a tensor type's number: its name, how many numbers a block holds, and the block's bytes.
TENSOR_TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 40),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
}


class GGUFError(EngineError):
    """A GGUF file that cannot be used; the message says why and how to mend it."""


@dataclass(frozen=True)
class GGUFTensor:
    """Where a tensor lies in its file.

    type: the name of the specification ("Q4_K"). shape: slowest first, [outputs, inputs] of a matrix.
    begin: its first byte, counted from the beginning of the file. nbytes: its length in bytes.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    begin: int
    nbytes: int


class _Damage(Exception):
    """What is wrong with the bytes."""


def read_header(content: mmap) -> tuple[Metadata, dict[str, GGUFTensor]]:
    """The metadata and the tensors by name of a whole file. Raises GGUFError without the file's name."""
    try:
        return _read(_Cursor(content))
    except _Damage as problem:
        raise GGUFError(f"is damaged ({problem}): fetch it again") from None


def _read(cursor: _Cursor) -> tuple[Metadata, dict[str, GGUFTensor]]:
    if cursor.take(len(_MAGIC)) != _MAGIC:
        raise GGUFError("is not a GGUF file: give one, or a directory with config.json")
    version = cursor.u32()
    if version and version & 0xFFFF == 0:
        raise GGUFError("is big-endian: use the model's little-endian GGUF file")
    if version not in _VERSIONS:
        raise GGUFError(f"is GGUF of version {version}, known are 2 and 3: use a newer file of the model")
    tensors = cursor.count("tensors", _SHORTEST_TENSOR)
    entries = cursor.count("metadata entries", _SHORTEST_ENTRY)
    metadata: Metadata = {}
    for _ in range(entries):
        key = cursor.string()
        if key in metadata:
            raise _Damage(f"the key {_short(key)} comes twice")
        metadata[key] = cursor.value(cursor.u32())
    alignment = metadata.get(_ALIGNMENT_KEY, _ALIGNMENT)
    if type(alignment) is not int or alignment < 8 or alignment & (alignment - 1):
        raise _Damage(f"{_ALIGNMENT_KEY} is {_short(alignment)}, no power of two from 8 up")
    found = [_read_tensor(cursor) for _ in range(tensors)]
    start = -(-cursor.at // alignment) * alignment
    return metadata, _place(found, start, cursor.size, alignment)


def _read_tensor(cursor: _Cursor) -> GGUFTensor:
    """An entry of the table; `begin` counts from where the numbers start."""
    name = cursor.string()
    dimensions = cursor.u32()
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise _Damage(f"{_short(name)} has {dimensions} dimensions, a tensor has 1 to {MAX_DIMENSIONS}")
    shape = tuple(cursor.u64() for _ in range(dimensions))[::-1]
    number, offset = cursor.u32(), cursor.u64()
    if number not in TENSOR_TYPES:
        raise GGUFError(
            f"has {_short(name)} in the unknown tensor type {number}: use another file of the model"
        )
    kind, block, size = TENSOR_TYPES[number]
    if not all(shape):
        raise _Damage(f"{_short(name)} has a dimension of 0")
    if shape[-1] % block:
        raise _Damage(f"{_short(name)} has rows of {shape[-1]} numbers, {kind} has blocks of {block}")
    return GGUFTensor(name, kind, shape, offset, math.prod(shape) // block * size)


def _place(found: Iterable[GGUFTensor], start: int, size: int, alignment: int) -> dict[str, GGUFTensor]:
    """The tensors with `begin` in the file: each inside of it, and no two overlapping."""
    tensors: dict[str, GGUFTensor] = {}
    for each in found:
        if each.name in tensors:
            raise _Damage(f"the tensor {_short(each.name)} comes twice")
        if each.begin % alignment:
            raise _Damage(f"{_short(each.name)} begins at {each.begin}, no multiple of {alignment}")
        if start + each.begin + each.nbytes > size:
            raise _Damage(f"{_short(each.name)} ends after the file, or the file is cut short")
        tensors[each.name] = GGUFTensor(each.name, each.type, each.shape, start + each.begin, each.nbytes)
    end, before = 0, ""
    for each in sorted(tensors.values(), key=lambda tensor: tensor.begin):
        if each.begin < end:
            raise _Damage(f"{_short(before)} and {_short(each.name)} overlap")
        end, before = each.begin + each.nbytes, each.name
    return tensors


class _Cursor:
    """Reads values one after the other. Raises _Damage where the bytes do not hold what they claim."""

    def __init__(self, content: mmap) -> None:
        self._content, self.at, self.size = content, 0, len(content)

    def take(self, length: int) -> bytes:
        """The next `length` bytes."""
        begin, end = self.at, self.at + length
        if end > self.size:
            raise _Damage("it is cut short, or a length in it is wrong")
        self.at = end
        return self._content[begin:end]

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def u64(self) -> int:
        return int.from_bytes(self.take(8), "little")

    def count(self, of: str, shortest: int) -> int:
        """A number of things that follow, each at least `shortest` bytes long."""
        count = self.u64()
        if count * shortest > self.size - self.at:
            raise _Damage(f"it is cut short, or does not have the {count} {of} that it claims")
        return count

    def string(self) -> str:
        return self.strings(1)[0]

    def strings(self, count: int) -> list[str]:
        """`count` strings. One loop over local names: a vocabulary and its merges are 300,000 of them."""
        content, size, at = self._content, self.size, self.at
        length_at, found = struct.Struct("<Q").unpack_from, []
        try:
            for _ in range(count):
                begin = at + 8
                at = begin + length_at(content, at)[0]
                if at > size:
                    raise _Damage("it is cut short, or the length of a string is wrong")
                found.append(content[begin:at].decode())
        except struct.error:
            raise _Damage("it is cut short, or a length in it is wrong") from None
        except UnicodeDecodeError:
            raise _Damage("a text in it is no UTF-8") from None
        self.at = at
        return found

    def value(self, kind: int, depth: int = 0) -> Any:
        """A metadata value of the type with that number: int, float, bool, str, or what `_array` gives."""
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            return self._array(depth + 1)
        return self._numbers(kind, 1)[0].item()

    def _array(self, depth: int) -> Any:
        """Strings and arrays as a list, numbers as an array of numpy."""
        if depth > MAX_NESTING:
            raise _Damage(f"it has arrays in arrays, more than {MAX_NESTING} deep")
        kind = self.u32()
        if kind == _STRING:
            return self.strings(self.count("strings", 8))
        if kind == _ARRAY:
            return [self._array(depth + 1) for _ in range(self.count("arrays", 12))]
        return self._numbers(kind, self.count("numbers", 1))

    def _numbers(self, kind: int, count: int) -> np.ndarray[Any, np.dtype[Any]]:
        if kind not in _NUMBERS:
            raise _Damage(f"it has a metadata value of the unknown type {kind}")
        found = np.frombuffer(self.take(count * _NUMBERS[kind].itemsize), _NUMBERS[kind])
        if kind != _BOOL:
            return found
        if count and found.max() > 1:
            raise _Damage("a truth value in it is neither 0 nor 1")
        return found.astype(np.bool_)


def _short(value: object) -> str:
    """A name of the file in an error's one line, which a name of 60,000 characters would not leave one."""
    told = ascii(value)
    return told if len(told) <= 80 else f"{told[:77]}..."

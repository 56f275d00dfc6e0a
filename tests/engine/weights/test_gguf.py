"""A GGUF file is read as the library reads it, and a damaged one is refused in a line."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFWriter
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.engine.weights.gguf import GGUFError, GGUFFile

MATRIX = np.random.default_rng(3).standard_normal((6, 256)).astype(np.float32)
TYPES = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q5_0")


def write(file: Path, alignment: int = 32) -> Path:
    """One value of each kind, a matrix in each of TYPES, and a vector."""
    writer = GGUFWriter(file, "qwen2")
    if alignment != 32:
        writer.add_custom_alignment(alignment)
    writer.add_string("text", "你好")
    writer.add_bool("yes", True)
    writer.add_uint8("small", 7)
    writer.add_int64("large", -(1 << 40))
    writer.add_float32("part", 0.5)
    writer.add_array("words", ["a", "", "é"])
    writer.add_array("numbers", [1, -2, 3])
    writer.add_array("truths", [True, False])
    for kind in TYPES:
        stored = GGMLQuantizationType[kind]
        writer.add_tensor(kind, gguf.quantize(MATRIX, stored), raw_dtype=stored)
    writer.add_tensor("vector", MATRIX[0, :5].copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


@pytest.mark.parametrize("alignment", [32, 64])
def test_values_and_numbers_are_those_that_were_written(tmp_path: Path, alignment: int) -> None:
    found = GGUFFile(write(tmp_path / "m.gguf", alignment))
    expected = {
        "text": "你好",
        "yes": True,
        "small": 7,
        "large": -(1 << 40),
        "part": 0.5,
        "words": ["a", "", "é"],
    }
    assert {key: found.metadata[key] for key in expected} == expected
    assert found.metadata["yes"] is True
    assert list(found.metadata["numbers"]) == [1, -2, 3]
    assert list(found.metadata["truths"]) == [True, False]
    for kind in TYPES:
        stored = gguf.quantize(MATRIX, GGMLQuantizationType[kind])
        numbers = gguf.dequantize(stored, GGMLQuantizationType[kind])
        assert (found.tensors[kind].type, found.tensors[kind].shape) == (kind, (6, 256))
        assert found.tensors[kind].begin % alignment == 0
        assert found.bytes_of(kind).tobytes() == stored.tobytes()
        assert np.array_equal(found.floats(kind), numbers)
        assert np.array_equal(found.floats(kind, slice(2, 4)), numbers[2:4])
        assert np.array_equal(found.rows_of(kind).rows([5, 0, 5]), numbers[[5, 0, 5]])
    assert np.array_equal(found.floats("vector"), MATRIX[0, :5])


def test_the_bytes_are_the_files_and_cannot_be_written_to(tmp_path: Path) -> None:
    found = GGUFFile(write(tmp_path / "m.gguf"))
    assert np.shares_memory(found.bytes_of("Q8_0"), found.bytes_of("Q8_0"))
    with pytest.raises(ValueError, match="read-only"):
        found.bytes_of("Q8_0")[0] = 1


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    found = GGUFFile(write(tmp_path / "m.gguf"))
    with pytest.raises(GGUFError, match=r"m\.gguf has no tensor lost"):
        found.bytes_of("lost")
    with pytest.raises(GGUFError, match="vector as \\[5\\], which is no matrix"):
        found.rows_of("vector")
    with pytest.raises(IndexError):
        found.rows_of("F32").rows([6])
    rows = found.rows_of("Q5_0")
    with (tmp_path / "m.gguf").open("r+b") as content:
        content.truncate(found.tensors["Q5_0"].begin + 10)
    with pytest.raises(GGUFError, match="has become shorter"):
        rows.rows([0])
    with pytest.raises(GGUFError, match="cannot be read"):
        GGUFFile(tmp_path / "none.gguf")


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def entry(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def tensor(name: str, dimensions: tuple[int, ...] = (8,), kind: int = 0, offset: int = 0) -> bytes:
    sizes = struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions)
    return text(name) + sizes + struct.pack("<IQ", kind, offset)


def made(
    *entries: bytes, tensors: tuple[bytes, ...] = (), room: int = 64, version: int = 3, counts: Any = None
) -> bytes:
    """A file of these parts, aligned, with `room` bytes of numbers."""
    counted = counts or (len(tensors), len(entries))
    head = b"GGUF" + struct.pack("<IQQ", version, *counted) + b"".join((*entries, *tensors))
    return head + bytes(-len(head) % 32) + bytes(room)


def nested(depth: int) -> bytes:
    return struct.pack("<IQ", 9, 1) * depth + struct.pack("<IQ", 0, 0)


DAMAGED = [
    ("empty", b"", "is cut short"),
    ("a text", b"no model at all, only a sentence", "is not a GGUF file"),
    ("version 1", made(version=1), "version 1, known are 2 and 3"),
    ("version 4", made(version=4), "version 4, known"),
    ("big-endian", made(version=3 << 24), "big-endian"),
    ("tensors without end", made(counts=(1 << 60, 0)), f"the {1 << 60} tensors"),
    ("entries without end", made(counts=(0, 1 << 60)), f"the {1 << 60} metadata entries"),
    ("a text without end", made(entry("k", 8, struct.pack("<Q", 1 << 62))), "length of a string"),
    ("a length past 64 bits", made(entry("k", 8, struct.pack("<Q", (1 << 64) - 1))), "length of a string"),
    ("texts without end", made(entry("k", 9, struct.pack("<IQ", 8, 1 << 50))), "strings that it claims"),
    ("numbers without end", made(entry("k", 9, struct.pack("<IQ", 12, 1 << 60))), "numbers that it claims"),
    ("arrays without end", made(entry("k", 9, struct.pack("<IQ", 9, 1 << 60))), "arrays that it claims"),
    ("deep arrays", made(entry("k", 9, nested(3000))), "arrays in arrays"),
    ("no UTF-8", made(entry("k", 8, text(b"\xff\xfe"))), "no UTF-8"),
    ("an unknown value", made(entry("k", 13, b"\0" * 8)), "unknown type 13"),
    ("a truth of 2", made(entry("k", 7, b"\2")), "neither 0 nor 1"),
    ("truths of 2", made(entry("k", 9, struct.pack("<IQ", 7, 2) + b"\1\2")), "neither 0 nor 1"),
    ("a key twice", made(entry("k", 0, b"\0"), entry("k", 0, b"\0")), "the key 'k' comes twice"),
    ("an alignment of 0", made(entry("general.alignment", 4, struct.pack("<I", 0))), "alignment is 0"),
    ("an alignment of 48", made(entry("general.alignment", 4, struct.pack("<I", 48))), "alignment is 48"),
    ("a truth for alignment", made(entry("general.alignment", 7, b"\1")), "alignment is True"),
    ("a text for alignment", made(entry("general.alignment", 8, text("x" * 9999))), "alignment is 'xxx"),
    ("no dimension", made(tensors=(tensor("t", ()),)), "0 dimensions"),
    ("five dimensions", made(tensors=(tensor("t", (1,) * 5),)), "5 dimensions"),
    ("a dimension of 0", made(tensors=(tensor("t", (8, 0)),)), "dimension of 0"),
    ("overflowing", made(tensors=(tensor("t", (1 << 32, 1 << 32)),)), "ends after the file"),
    ("an unknown type", made(tensors=(tensor("t", kind=4),)), "unknown tensor type 4"),
    (
        "half a block",
        made(tensors=(tensor("t", (48,), kind=8),)),
        "rows of 48 numbers, Q8_0 has blocks of 32",
    ),
    ("unaligned", made(tensors=(tensor("t", offset=8),)), "begins at 8, no multiple of 32"),
    ("past the end", made(tensors=(tensor("t", offset=64),)), "ends after the file"),
    ("past 64 bits", made(tensors=(tensor("t", offset=(1 << 64) - 32),)), "ends after the file"),
    ("a tensor twice", made(tensors=(tensor("t"), tensor("t", offset=32))), "the tensor 't' comes twice"),
    ("overlapping", made(tensors=(tensor("b", (9,)), tensor("a", offset=32))), "'b' and 'a' overlap"),
    ("a long name", made(tensors=(tensor("n" * 9999, ()),)), "'nnnn"),
]


@pytest.mark.parametrize(
    ("content", "told"), [(c, t) for _, c, t in DAMAGED], ids=[name for name, *_ in DAMAGED]
)
def test_a_damaged_file_is_refused_in_a_line(tmp_path: Path, content: bytes, told: str) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(content)
    with pytest.raises(GGUFError) as caught:
        GGUFFile(file)
    line = str(caught.value)
    assert line.startswith(f"{file} ")
    assert told in line
    assert "\n" not in line
    assert len(line) < len(str(file)) + 300


def test_parts_put_together_by_the_tests_are_a_file(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(
        made(entry("k", 9, nested(2)), tensors=(tensor("a"), tensor("b", offset=32)))
    )
    assert list(GGUFFile(tmp_path / "m.gguf").tensors) == ["a", "b"]


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(GGUFError):
        GGUFFile(tmp_path)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write(tmp_path_factory.mktemp("sound") / "m.gguf").read_bytes()


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_whatever_is_changed_only_a_line_comes_out(
    data: st.DataObject, sound: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    changed = bytearray(sound)
    head = sound.index(b"vector") + 60
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, head))
        width = data.draw(st.sampled_from([1, 4, 8]))
        value = data.draw(st.integers(0, 20) | st.integers(0, (1 << 8 * width) - 1))
        changed[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, "little")
    if data.draw(st.booleans()):
        del changed[data.draw(st.integers(0, len(changed))) :]
    file = tmp_path_factory.getbasetemp() / "fuzzed.gguf"
    file.unlink(missing_ok=True)  # another file may be mapped
    file.write_bytes(changed)
    tracemalloc.start()
    try:
        found = GGUFFile(file)
        for name in found.tensors:
            assert found.bytes_of(name).size == found.tensors[name].nbytes
            found.floats(name)
    except GGUFError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 40 * len(sound) + 4_000_000

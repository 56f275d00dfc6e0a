"""Files of the safetensors format are those that the format's own library reads and writes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.torch import load_file, save_file

from bot.engine.config.arrays import DTYPES, StoredTensor
from bot.engine.weights.safetensors import SafetensorsError, SafetensorsFile, write_safetensors
from bot.engine.weights.torch_tensors import as_torch

TENSORS = {
    "a": torch.arange(12, dtype=torch.float32).view(3, 4),
    "b.weight": torch.randn(5, 2).bfloat16(),
    "c": torch.tensor([[-128, 127]], dtype=torch.int8),
    "d": torch.tensor([2**40, -1]),
    "e": torch.randn(7).half(),
}


@pytest.mark.parametrize("mapped", [True, False])
def test_what_the_library_writes_is_read(tmp_path: Path, mapped: bool) -> None:
    save_file(TENSORS, tmp_path / "file", metadata={"format": "pt"})
    found = SafetensorsFile(tmp_path / "file")
    assert found.metadata == {"format": "pt"}
    assert found.shapes == {name: tuple(tensor.shape) for name, tensor in TENSORS.items()}
    for name, tensor in TENSORS.items():
        assert torch.equal(as_torch(found.get(name, mapped)), tensor)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_rows_that_stay_in_the_file_are_the_rows_of_the_tensor(tmp_path: Path, dtype: torch.dtype) -> None:
    matrix = torch.randn(9, 5).to(dtype)
    save_file({"before": torch.ones(3), "m": matrix}, tmp_path / "file")
    found = SafetensorsFile(tmp_path / "file").rows_of("m")
    assert found.shape == (9, 5)
    for which in ([0], [8, 0, 8, 3], []):
        assert np.array_equal(found.rows(which), matrix[which].float().numpy())
        assert found.rows(which).flags.writeable, "a pass goes on in the same memory"


@pytest.mark.parametrize("which", [[9], [0, -1]])
def test_rows_that_are_not_there_are_refused(tmp_path: Path, which: list[int]) -> None:
    save_file({"m": torch.ones(9, 5), "behind": torch.ones(99, 5)}, tmp_path / "file")
    with pytest.raises(IndexError, match="9 rows"):
        SafetensorsFile(tmp_path / "file").rows_of("m").rows(which)


def test_a_file_that_is_cut_short_while_it_is_open_is_noticed(tmp_path: Path) -> None:
    save_file({"m": torch.ones(9, 5)}, tmp_path / "file")
    found = SafetensorsFile(tmp_path / "file").rows_of("m")
    os.truncate(tmp_path / "file", (tmp_path / "file").stat().st_size - 20)
    assert found.rows([7]).sum() == 5
    with pytest.raises(ValueError, match="reshape"):
        found.rows([8])


def test_what_is_no_matrix_has_no_rows(tmp_path: Path) -> None:
    save_file({"vector": torch.ones(9)}, tmp_path / "file")
    with pytest.raises(SafetensorsError, match="no matrix"):
        SafetensorsFile(tmp_path / "file").rows_of("vector")


@given(
    tensors=st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=8),
        st.sampled_from(["F32", "F16", "I8", "U8", "I64"]).flatmap(
            lambda dtype: arrays.arrays(
                DTYPES[dtype],
                arrays.array_shapes(max_dims=3, max_side=5),
                elements={"allow_nan": False} if dtype.startswith("F") else None,
            ).map(lambda data: StoredTensor(data, dtype))
        ),
        max_size=4,
    )
)
def test_what_is_written_the_library_reads(
    tmp_path_factory: pytest.TempPathFactory, tensors: dict[str, StoredTensor]
) -> None:
    file = tmp_path_factory.mktemp("written") / "file"
    tensors.pop("__metadata__", None)
    with write_safetensors(file, {"version": "1"}) as writer:
        for name, tensor in tensors.items():
            writer.add(name, tensor)
    found = load_file(file)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert np.array_equal(found[name].numpy(), tensor.data)
    assert [*file.parent.iterdir()] == [file]


HEADERS = {
    "an infinite size": '{"a": {"dtype": "F32", "shape": [Infinity], "data_offsets": [0, 8]}}',
    "an infinite offset": '{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 1e999]}}',
    "a negative size": '{"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}',
    "a huge size": '{"a": {"dtype": "F32", "shape": [2, 999999999999999999999], "data_offsets": [0, 8]}}',
    "a dtype that is no name": '{"a": {"dtype": ["F32"], "shape": [2], "data_offsets": [0, 8]}}',
    "more bytes than numbers": '{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}}',
    "no end": '{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0]}}',
    "no tensor": '{"a": 1}',
    "a list": "[]",
    "a deep list": "[" * 100_000 + "]" * 100_000,
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_a_header_that_describes_no_tensors_is_refused(tmp_path: Path, header: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(len(header).to_bytes(8, "little") + header.encode() + bytes(8))
    with pytest.raises(SafetensorsError, match="is damaged, its list of tensors cannot be read"):
        SafetensorsFile(file)


def test_where_writing_fails_nothing_is_left(tmp_path: Path) -> None:
    with (
        pytest.raises(KeyError, match="F99"),
        write_safetensors(tmp_path / "file", {}) as writer,
    ):
        writer.add("name", StoredTensor(np.zeros(2, np.float32), "F99"))
    assert not [*tmp_path.iterdir()]


def test_what_an_interrupted_call_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".m[1].4711").write_bytes(b"half")
    with write_safetensors(tmp_path / "m[1]", {}):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["m[1]"]

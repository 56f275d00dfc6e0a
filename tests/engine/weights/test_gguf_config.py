"""A GGUF file's config, tensors and tokenizer are those that transformers has of the same model."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGUFWriter
from random_model import random_model, write_directory, write_gguf

from bot.engine import EngineError
from bot.engine.config.model_config import read_model_config
from bot.engine.factory import open_decoder
from bot.engine.model.decoder import Chunk
from bot.engine.quantization.prepare import prepare
from bot.engine.weights.gguf import GGUFError, GGUFFile
from bot.engine.weights.gguf_config import read_gguf_config
from bot.engine.weights.model_files import ModelFiles, beside
from bot.engine.weights.prepared import open_prepared
from bot.models import ModelError, check_model

IDS = [5, 9, 200, 31, 77]


@pytest.mark.parametrize("family", ["qwen2", "qwen3", "llama"])
def test_a_file_says_and_computes_what_the_directory_does(tmp_path: Path, family: str) -> None:
    directory = write_directory(tmp_path / "directory", family)
    file = write_gguf(tmp_path / "m.gguf", original := random_model(family), head="F16", kind=family)
    check_model(file)
    found, expected = ModelFiles(file).config(), read_model_config(directory)
    assert found == replace(expected, inv_freq=found.inv_freq)
    assert found.inv_freq == pytest.approx(expected.inv_freq)
    assert read_gguf_config(GGUFFile(file)).rope_adjacent == (family == "llama")
    with torch.inference_mode():
        wanted = original(torch.tensor([IDS])).logits[0].numpy()
    decoder = open_decoder(file, "fp32")
    states = decoder.forward([Chunk(IDS, decoder.new_cache(room=8))], last_only=False)
    np.testing.assert_allclose(decoder.logits(states), wanted, rtol=1e-3, atol=1e-3)


def test_llama_3s_factors_divide_the_frequencies(tmp_path: Path) -> None:
    file = _written(tmp_path, factors=[1.0, 2.0, 4.0, 8.0])
    config = read_gguf_config(GGUFFile(file))
    plain = [10000.0 ** (-i / 4) for i in range(4)]
    assert config.inv_freq == pytest.approx(
        [each / factor for each, factor in zip(plain, (1, 2, 4, 8), strict=True)]
    )
    linear = read_gguf_config(
        GGUFFile(_written(tmp_path, **{"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}))
    )
    assert linear.inv_freq == pytest.approx([each / 4 for each in plain])


def test_a_window_as_wide_as_the_context_is_none(tmp_path: Path) -> None:
    read_gguf_config(GGUFFile(_written(tmp_path, **{"attention.sliding_window": 64})))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"kind": "gpt2"}, "model of the kind 'gpt2'"),
        ({"block_count": None}, r"lacks llama\.block_count"),
        ({"attention.head_count": 0}, "attention.head_count not one whole number"),
        ({"attention.head_count": 3}, "3 attention heads cannot share 2"),
        ({"attention.head_count": 4}, r"attn_q\.weight has the shape \[16, 16\]"),
        ({"attention.head_count": [2, 2]}, "attention.head_count not one whole number"),
        ({"block_count": 1 << 23}, "claims 8388608 layers"),
        ({"attention.sliding_window": 32}, "sliding-window attention"),
        ({"attention.sliding_window": [1, 2]}, "attention.sliding_window not one whole"),
        ({"expert_count": 8}, "mixture of experts"),
        ({"rope.scaling.type": "yarn"}, "rotary scaling 'yarn'"),
        ({"rope.dimension_count": 4}, "rope.dimension_count not the width of a head"),
        ({"rope.freq_base": 1e-30}, "rope.freq_base not a number from 1 up"),
        ({"attention.layer_norm_rms_epsilon": float("nan")}, "rms_epsilon not a number above 0"),
        ({"factors": [1.0, 0.0, 1.0, 1.0]}, r"rope_freqs\.weight not 4 factors"),
        ({"factors": [1.0]}, r"rope_freqs\.weight not 4 factors"),
    ],
    ids=str,
)
def test_what_is_not_known_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(GGUFError, match=told) as caught:
        read_gguf_config(GGUFFile(_written(tmp_path, **changes)))
    assert "\n" not in str(caught.value)


def test_missing_and_foreign_tensors_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gguf has no tensor model\.norm\.weight, which its metadata"):
        check_model(_written(tmp_path))
    with pytest.raises(ModelError, match=r"a tensor 'blk\.0\.ssm_a', which is not known"):
        check_model(_written(tmp_path, extra="blk.0.ssm_a"))


def test_a_directory_that_holds_one_file_is_that_model(tmp_path: Path) -> None:
    (directory := tmp_path / "small").mkdir()
    file = write_gguf(directory / "any.gguf", random_model(), head="F16")
    assert ModelFiles(directory).gguf == file
    assert (ModelFiles(directory).name, ModelFiles(file).name) == ("small", "any")
    assert beside(directory, "prepared.x") == directory / "prepared.x"
    assert beside(file, "prepared.x") == directory / "any.prepared.x"
    shutil.copy(file, directory / "b.gguf")
    with pytest.raises(ModelError, match=r"holds 2 GGUF files \(any\.gguf, b\.gguf\): name one"):
        check_model(directory)
    check_model(directory / "b.gguf")
    part = directory / "m-00001-of-00003.gguf"
    os.rename(file, part)
    with pytest.raises(EngineError, match="is one of 3 parts of a model"):
        ModelFiles(part)
    with pytest.raises(ModelError, match=r"none\.gguf cannot be read"):
        check_model(directory / "none.gguf")


def _written(
    directory: Path, kind: str = "llama", factors: list[float] | None = None, extra: str = "", **changes: Any
) -> Path:
    """A file with a whole config and only the tensors that the config looks at."""
    values: dict[str, Any] = {
        "block_count": 1,
        "context_length": 64,
        "embedding_length": 16,
        "feed_forward_length": 32,
        "attention.head_count": 2,
        "attention.head_count_kv": 2,
        "attention.key_length": 8,
        "attention.layer_norm_rms_epsilon": 1e-6,
        **changes,
    }
    writer = GGUFWriter(directory / "m.gguf", kind)
    for key, value in values.items():
        add = {
            int: writer.add_uint32,
            float: writer.add_float32,
            str: writer.add_string,
            list: writer.add_array,
        }
        if value is not None:
            add.get(type(value), writer.add_array)(f"{kind}.{key}", value)
    writer.add_tensor("token_embd.weight", np.zeros((300, 16), np.float32))
    writer.add_tensor("blk.0.attn_q.weight", np.zeros((16, 16), np.float32))
    if factors is not None:
        writer.add_tensor("rope_freqs.weight", np.array(factors, np.float32))
    if extra:
        writer.add_tensor(extra, np.zeros(4, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return directory / "m.gguf"


def test_prepared_weights_of_a_file_stand_beside_it_and_are_used(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "m.gguf", random_model(), head="F16")
    assert prepare(file, "int8") == tmp_path / "m.prepared-int8.safetensors"
    assert open_prepared(file, "int8") is not None
    write_gguf(file, random_model(initializer_range=0.1), head="F16")
    assert open_prepared(file, "int8") is None  # another model's

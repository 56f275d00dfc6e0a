"""Weights that do not fit the model are refused by a sentence: C would read beyond them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bot.engine import EngineError
from bot.engine.config.arrays import StoredTensor
from bot.engine.config.model_config import ModelConfig, read_model_config
from bot.engine.kernels.bindings import choose_kernels
from bot.engine.kernels.decoder import CompiledDecoder, Projection, ThreadPool, matrix_of
from bot.engine.quantization.quantize import quantize_part
from bot.engine.weights.checkpoint import EMBEDDING, Checkpoint
from bot.engine.weights.parts import Part, decoder_parts

Parts = dict[str, dict[str, StoredTensor]]


@pytest.fixture
def weights(small_dir: Path) -> tuple[ModelConfig, Parts, StoredTensor]:
    config, checkpoint = read_model_config(small_dir), Checkpoint(small_dir)
    parts = {part.name: quantize_part(part, "int8") for part in decoder_parts(checkpoint, config)}
    return config, parts, checkpoint.get(EMBEDDING)


def opened(weights: tuple[ModelConfig, Parts, StoredTensor]) -> CompiledDecoder:
    config, parts, embedding = weights
    return CompiledDecoder(config, "int8", parts, embedding, embedding, choose_kernels(), 1)


def test_what_fits_is_taken(weights: tuple[ModelConfig, Parts, StoredTensor]) -> None:
    assert opened(weights).threads == 1


def test_a_part_that_is_missing_is_named(weights: tuple[ModelConfig, Parts, StoredTensor]) -> None:
    del weights[1]["layers.0.up"]
    with pytest.raises(EngineError, match=r"no part layers\.0\.up: .*prepare"):
        opened(weights)


@pytest.mark.parametrize("name", ["layers.0.up", "layers.0.attention_norm", "norm", "head"])
def test_a_tensor_that_is_shorter_is_refused(
    weights: tuple[ModelConfig, Parts, StoredTensor], name: str
) -> None:
    part = weights[1][name]
    kind = next(iter(part))
    part[kind] = StoredTensor(part[kind].data[:-1], part[kind].dtype)
    with pytest.raises(EngineError, match="in place of"):
        opened(weights)


@pytest.mark.parametrize("name", ["Q4_0", "Q8_0"])
def test_bytes_of_one_format_are_not_read_as_another(
    weights: tuple[ModelConfig, Parts, StoredTensor], name: str
) -> None:
    part = weights[1]["head"]
    part[name] = part.pop("int8")
    del part["scales"]
    with pytest.raises(EngineError, match="in place of"):
        opened(weights)


def test_int8_without_its_scales_is_refused(weights: tuple[ModelConfig, Parts, StoredTensor]) -> None:
    del weights[1]["head"]["scales"]
    with pytest.raises(EngineError, match="int8 without scales"):
        opened(weights)


def test_a_part_of_no_known_format_is_refused(weights: tuple[ModelConfig, Parts, StoredTensor]) -> None:
    part = weights[1]["layers.0.up"]
    part["Q3_K"] = part.pop("int8")
    with pytest.raises(EngineError, match="no blocks"):
        opened(weights)


def test_a_model_of_more_words_than_weights_is_refused(
    weights: tuple[ModelConfig, Parts, StoredTensor],
) -> None:
    config, *others = weights
    with pytest.raises(EngineError, match="in place of"):
        opened((replace(config, vocab_size=config.vocab_size + 100), *others))


def test_no_rows_are_multiplied_to_no_rows() -> None:
    part = quantize_part(Part("layers.0.up", StoredTensor(np.ones((40, 64), np.float32), "F32")), "int8")
    project = Projection(choose_kernels(), ThreadPool(1), matrix_of(part, 40, 64))
    assert project(np.zeros((0, 64), np.float32)).shape == (0, 40)

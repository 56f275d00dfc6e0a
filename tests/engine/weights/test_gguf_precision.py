"""A GGUF file that comes quantized is used in its own bits, prepared once and mapped from then on."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray
from random_model import random_model, write_directory, write_gguf

from bot.engine import EngineError
from bot.engine.factory import is_outdated, open_decoder
from bot.engine.kernels.decoder import CompiledDecoder
from bot.engine.model.decoder import Chunk
from bot.engine.quantization.prepare import prepare
from bot.engine.weights.block_formats import BLOCK, GGUF_FORMATS, turn
from bot.engine.weights.model_files import ModelFiles
from bot.engine.weights.prepared import open_prepared

IDS = [5, 9, 200, 31, 77]


@pytest.fixture
def quantized(tmp_path: Path) -> Path:
    """A model in Q8_0."""
    return write_gguf(tmp_path / "m.gguf", random_model(), embedding="Q8_0", matrices="Q8_0")


def states(file: Path, precision: str) -> NDArray[np.float32]:
    """The hidden states of some tokens."""
    decoder = open_decoder(file, precision)
    return decoder.forward([Chunk(IDS, decoder.new_cache())])


def test_auto_takes_the_files_own_bits(quantized: Path) -> None:
    assert ModelFiles(quantized).choose_precision("auto") == "gguf"
    assert ModelFiles(quantized.parent).choose_precision("auto") == "gguf"
    assert ModelFiles(quantized).choose_precision("int8") == "int8"
    decoder = open_decoder(quantized, "auto")
    assert isinstance(decoder, CompiledDecoder)
    assert decoder.precision == "gguf"


@pytest.mark.parametrize("what", [{"matrices": "F16"}, {"matrices": "Q8_0", "head": "F16"}])
def test_a_file_with_other_blocks_is_rounded_to_int8(tmp_path: Path, what: dict[str, str]) -> None:
    file = write_gguf(tmp_path / "m.gguf", random_model(tie_word_embeddings="head" not in what), **what)
    assert ModelFiles(file).choose_precision("auto") == "int8"
    with pytest.raises(EngineError, match=r"PRECISION=gguf is for a GGUF file.*use auto"):
        open_decoder(file, "gguf")


def test_floats_have_no_blocks_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="use auto"):
        prepare(write_directory(tmp_path / "hub"), "gguf")


def test_prepared_blocks_answer_as_those_of_the_file_itself(quantized: Path) -> None:
    before = states(quantized, "gguf")
    assert prepare(quantized) == quantized.parent / "m.prepared-gguf.safetensors"
    assert open_prepared(quantized, "gguf") is not None
    assert states(quantized, "gguf").tobytes() == before.tobytes()
    assert np.linalg.norm(before - states(quantized, "fp32")) < 0.05 * np.linalg.norm(before)


def test_prepared_blocks_of_another_file_are_made_anew(quantized: Path) -> None:
    prepare(quantized)
    write_gguf(quantized, random_model(initializer_range=0.1), embedding="Q8_0", matrices="Q8_0")
    assert open_prepared(quantized, "gguf") is None
    assert is_outdated(quantized)
    before = states(quantized, "gguf")
    prepare(quantized)
    assert states(quantized, "gguf").tobytes() == before.tobytes()


@pytest.mark.parametrize("name", GGUF_FORMATS)
@pytest.mark.parametrize("outputs", [1, 32, 70])
def test_turned_rows_have_every_byte_of_the_file_once(name: str, outputs: int) -> None:
    block, rng = GGUF_FORMATS[name], np.random.default_rng(3)
    assert gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]] == (block.inputs, block.size)
    rows = rng.integers(1, 256, (outputs, 3 * block.size), dtype=np.uint8)
    turned = turn(rows, name)
    assert turned.shape == (-(-outputs // BLOCK), 3, BLOCK * block.size)
    for output in range(outputs):
        own = turned[output // BLOCK]
        units = [
            own[:, begin * BLOCK : end * BLOCK]
            .reshape(3, -1, BLOCK, together)[:, :, output % BLOCK]
            .reshape(3, -1)
            for begin, end, together in block.fields
        ]
        assert np.concatenate(units, 1).tobytes() == rows[output].tobytes()
    assert np.count_nonzero(turned) == rows.size, "what is beyond the outputs is zero"

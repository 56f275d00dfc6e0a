"""int4 is a GGUF file beside the model: made once, whole, of these weights, and used as any GGUF file is."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest
from random_model import random_model, vocabulary, write_directory, write_gguf
from safetensors.numpy import load_file, save_file

from bot.engine import EngineError, Message, Prompt
from bot.engine.config.arrays import Floats
from bot.engine.config.model_config import read_model_config
from bot.engine.factory import is_outdated, open_decoder, open_tokenizer, read_generation
from bot.engine.model.decoder import Chunk
from bot.engine.quantization.prepare import prepare, write_int4
from bot.engine.weights.model_files import ModelFiles
from bot.engine.weights.prepared import open_int4, open_prepared

IDS = [5, 9, 200, 31, 77, 12]
PROMPT = Prompt((Message("system", "hello"), Message("user", "x <|im_end|> hello")))


def logits(path: Path, precision: str) -> Floats:
    decoder = open_decoder(path, precision)
    return decoder.logits(decoder.forward([Chunk(IDS, decoder.new_cache())]))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A model as the hub has it."""
    return write_directory(tmp_path / "model", hidden_size=256, intermediate_size=512)


@pytest.mark.parametrize("drawn", [{"do_sample": True, "temperature": 0.6, "top_k": 7, "top_p": 0.9}, {}])
def test_the_file_by_itself_is_the_model_in_int4(directory: Path, drawn: dict[str, object]) -> None:
    about = {"eos_token_id": [263, 261], "repetition_penalty": 1.25, **drawn}
    (directory / "generation_config.json").write_text(json.dumps(about))
    prepare(directory, "int4")
    file = directory / "prepared-int4.gguf"
    assert np.array_equal(logits(file, "auto"), logits(directory, "int4"))
    itself, original = ModelFiles(file), ModelFiles(directory)
    assert itself.choose_precision("auto") == "gguf"
    assert open_tokenizer(itself).encode(PROMPT) == open_tokenizer(original).encode(PROMPT)
    found, wanted = read_generation(itself), read_generation(original)
    assert (found.sample, found.top_k, found.eos_token_ids) == (bool(drawn), wanted.top_k, {261, 263})
    for name in ("temperature", "top_p", "repetition_penalty"):
        assert getattr(found, name) == pytest.approx(getattr(wanted, name))


@pytest.mark.parametrize(
    ("family", "sizes"),
    [
        ("qwen2", {}),
        ("qwen3", {"head_dim": 64, "tie_word_embeddings": False}),
        ("qwen2", {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e6}}),
        ("llama", {"tie_word_embeddings": True}),
        ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 5e5}}),
        (
            "llama",
            {
                "rope_parameters": {
                    "rope_type": "llama3",
                    "factor": 8.0,
                    "low_freq_factor": 1.0,
                    "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 64,
                    "rope_theta": 5e5,
                }
            },
        ),
    ],
    ids=[
        "qwen2",
        "qwen3, a head of its own",
        "qwen2, linear",
        "llama, tied",
        "llama, linear",
        "llama 3's frequencies",
    ],
)
def test_it_says_of_the_model_what_the_directory_says(
    tmp_path: Path, family: str, sizes: dict[str, object]
) -> None:
    directory = write_directory(tmp_path / "model", family, hidden_size=256, intermediate_size=512, **sizes)
    config, found = read_model_config(directory), write_int4(directory).config()
    assert np.allclose(found.inv_freq, config.inv_freq, rtol=1e-6)
    same = {"inv_freq": (), "rms_norm_eps": 0.0, "rope_adjacent": False}
    assert found.__dict__ | same == config.__dict__ | same
    assert found.rms_norm_eps == pytest.approx(config.rms_norm_eps)


@pytest.mark.parametrize("family", ["qwen2", "qwen3", "llama"])
def test_its_weights_are_the_models_own_but_for_rounding(tmp_path: Path, family: str) -> None:
    """Those of queries and keys are in another order for Llama; what is read back is in the hub's."""
    sizes = {"head_dim": 64} if family == "qwen3" else {}
    directory = write_directory(tmp_path / "model", family, hidden_size=256, intermediate_size=512, **sizes)
    original, made = ModelFiles(directory).checkpoint(), write_int4(directory).gguf_checkpoint()
    assert len(made.shapes) > 10
    for name in made.shapes:
        weight, found = original.get(name).rows(), made.get(name).rows()
        exact = weight.ndim == 1
        assert np.linalg.norm(found - weight) <= (0 if exact else 0.08) * np.linalg.norm(weight), name


def test_more_bits_go_to_the_head_and_to_some_values_and_last_projections(tmp_path: Path) -> None:
    sizes = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 16}
    directory = write_directory(tmp_path / "model", **sizes, tie_word_embeddings=False)
    tensors = write_int4(directory).source.tensors
    many = {name for name, tensor in tensors.items() if tensor.type == "Q6_K"}
    layers = (0, 1, 4, 7, 10, 13, 14, 15)  # the first and the last eighth, every third between
    wanted = {f"blk.{layer}.{name}.weight" for layer in layers for name in ("attn_v", "ffn_down")}
    assert many == {"output.weight", *wanted}
    others = {tensor.type for name, tensor in tensors.items() if name not in many and len(tensor.shape) > 1}
    assert others == {"Q4_K"}


def test_rows_that_are_no_multiple_of_256_have_smaller_blocks(tmp_path: Path) -> None:
    directory = write_directory(
        tmp_path / "model", hidden_size=64, intermediate_size=256, tie_word_embeddings=True
    )
    tensors = write_int4(directory).source.tensors
    assert tensors["token_embd.weight"].type == "Q8_0"  # the head as well
    assert tensors["blk.0.attn_q.weight"].type == "Q5_0"
    assert tensors["blk.0.ffn_down.weight"].type == "Q4_K"


def test_rows_that_fit_no_block_are_refused_with_what_to_do(tmp_path: Path) -> None:
    directory = write_directory(tmp_path / "model", hidden_size=72, num_attention_heads=6)
    with pytest.raises(EngineError, match=r"multiple of 32, and embedding has 72: use PRECISION=int8"):
        prepare(directory, "int4")


def test_it_belongs_to_the_weights_it_was_made_of(directory: Path) -> None:
    prepare(directory, "int4")
    before = logits(directory, "int4")
    weights = directory / "model.safetensors"
    save_file({name: each * 2 for name, each in load_file(weights).items()}, weights, {"format": "pt"})
    assert open_int4(directory) is None
    assert open_prepared(directory, "int4") is None
    assert is_outdated(directory, "int4")
    assert not np.array_equal(logits(directory, "int4"), before)
    assert open_int4(directory) is not None


def test_a_start_makes_the_file_where_it_was_not_prepared(directory: Path) -> None:
    made = logits(directory, "int4")
    assert (directory / "prepared-int4.gguf").is_file()
    prepare(directory, "int4")
    assert np.array_equal(logits(directory, "int4"), made)


def test_where_it_cannot_be_written_the_mend_is_told(directory: Path) -> None:
    (directory / "prepared-int4.gguf").mkdir()
    with pytest.raises(EngineError, match=r"prepared-int4.gguf cannot be written: .*may be written to"):
        open_decoder(directory, "int4")


def test_where_the_directory_is_read_only_a_start_makes_it_for_once(
    directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = logits(Path(shutil.copytree(directory, tmp_path / "copy")), "int4")
    before = sorted(directory.iterdir())
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    (directory / "prepared-int4.gguf").mkdir()  # nor could it be written, as root may anywhere
    assert np.array_equal(logits(directory, "int4"), expected)
    assert sorted(directory.iterdir()) == sorted(
        [*before, *directory.glob(".prepare.lock"), directory / "prepared-int4.gguf"]
    )


def test_four_bits_are_not_rounded_to_four_bits_again(directory: Path) -> None:
    prepare(directory, "int4")
    file = directory / "prepared-int4.gguf"
    assert ModelFiles(file).choose_precision("int4") == "gguf"
    assert prepare(file, "int4") == directory / "prepared-int4.prepared-gguf.safetensors"


def test_the_file_alone_in_a_directory_is_the_model(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "alone").mkdir()
    file = Path(shutil.copy(write_int4(directory).path, tmp_path / "alone"))
    assert np.array_equal(logits(file.parent, "auto"), logits(directory, "int4"))


def test_another_template_is_noticed(directory: Path) -> None:
    prepare(directory, "int4")
    (directory / "chat_template.jinja").write_text("{{ messages[0].content }}")
    assert open_int4(directory) is None
    assert write_int4(directory).source.metadata["tokenizer.chat_template"] == "{{ messages[0].content }}"


def test_a_way_of_drawing_that_is_none_is_named(directory: Path) -> None:
    (directory / "generation_config.json").write_text('{"temperature": "hot"}')
    with pytest.raises(EngineError, match=r"generation_config.json cannot be read"):
        prepare(directory, "int4")


def test_weights_that_are_no_numbers_are_refused(directory: Path) -> None:
    weights = load_file(directory / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][3, 5] = np.nan
    save_file(weights, directory / "model.safetensors", {"format": "pt"})
    with pytest.raises(EngineError, match=r"layers.1.mlp.up_proj.weight has weights that are no numbers"):
        prepare(directory, "int4")
    assert not list(directory.glob("*prepared-int4*"))


def test_a_gguf_file_in_floats_gets_one_beside_it_and_stays_the_model(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "m.gguf", random_model(hidden_size=256, intermediate_size=512))
    prepare(file, "int4")
    assert (tmp_path / "m.prepared-int4.gguf").is_file()
    assert ModelFiles(tmp_path).gguf == file, "the only model of its directory still"
    off = logits(file, "int4") - logits(file, "fp32")
    assert 0 < np.linalg.norm(off) < 0.5 * np.linalg.norm(logits(file, "fp32"))
    metadata = ModelFiles(tmp_path / "m.prepared-int4.gguf").source.metadata
    assert metadata["tokenizer.ggml.tokens"] == list(vocabulary().tokens)


def test_a_tokenizer_of_another_kind_is_left_out(directory: Path) -> None:
    """The bot reads the directory's own; llama.cpp refuses the file and does not cut words another way."""
    file = directory / "tokenizer.json"
    parts = json.loads(file.read_text(encoding="utf-8"))
    parts["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = r"\w+"
    file.write_text(json.dumps(parts), encoding="utf-8")
    assert not any(key.startswith("tokenizer.") for key in write_int4(directory).source.metadata)


def test_the_gguf_library_reads_it(directory: Path) -> None:
    prepare(directory, "int4")
    read = gguf.GGUFReader(directory / "prepared-int4.gguf")
    assert read.fields["general.architecture"].contents() == "qwen2"
    assert read.fields["general.file_type"].contents() == gguf.LlamaFileType.MOSTLY_Q4_K_M
    assert {tensor.name for tensor in read.tensors} == set(write_int4(directory).source.tensors)

"""A GGUF file becomes a model directory that transformers opens, with the same numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFWriter
from hypothesis import given
from hypothesis import strategies as st
from random_model import random_model, vocabulary, write_gguf
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.models.qwen2.tokenization_qwen2 import Qwen2Tokenizer

from bot.engine.weights.convert import ConversionError, convert_gguf
from bot.engine.weights.gguf_tokenizer import build_tokenizer
from bot.models.check import check_model
from config.settings import ROOT

IDS = torch.tensor([[5, 9, 200, 31, 77]])


def test_the_converted_model_computes_what_the_original_does(tmp_path: Path) -> None:
    original = random_model()
    convert_gguf(write_gguf(tmp_path / "m.gguf", original, head="F16"), directory := _made(tmp_path / "m"))
    check_model(directory)
    converted = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    assert not converted.config.tie_word_embeddings
    with torch.inference_mode():
        torch.testing.assert_close(converted(IDS).logits, original(IDS).logits, rtol=1e-4, atol=1e-4)


def test_a_matrix_stored_twice_is_kept_once_in_its_better_copy(tmp_path: Path) -> None:
    original = random_model(tie_word_embeddings=True)
    convert_gguf(
        write_gguf(tmp_path / "m.gguf", original, embedding="Q5_0", head="Q8_0"),
        directory := _made(tmp_path / "m"),
    )
    converted = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    assert converted.config.tie_word_embeddings
    lost = converted.lm_head.weight - original.lm_head.weight
    assert lost.norm() < 0.01 * original.lm_head.weight.norm()  # 8 bits; 5 would lose 0.04


def test_the_chat_goes_on_with_the_files_own_template_and_end(tmp_path: Path) -> None:
    convert_gguf(write_gguf(tmp_path / "m.gguf", random_model()), directory := _made(tmp_path / "m"))
    tokenizer = AutoTokenizer.from_pretrained(directory)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hello"}], tokenize=False, add_generation_prompt=True
    )
    assert text == "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.eos_token == "<|im_end|>"
    ends = json.loads((directory / "generation_config.json").read_text())["eos_token_id"]
    assert ends == tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])


def test_the_whole_dequantized_matrix_is_never_in_memory(tmp_path: Path) -> None:
    file = tmp_path / "wide.gguf"
    writer = GGUFWriter(file, "qwen2")
    writer.add_tokenizer_pre("qwen2")
    rows = 120_000  # 430 MB in float32
    for name in ("token_embd.weight", "output.weight"):
        zeros = np.zeros((rows, 896 // 32 * 34), dtype=np.uint8)
        writer.add_tensor(name, zeros, raw_dtype=GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from bot.engine.weights.convert import ConversionError, convert_gguf\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: convert_gguf(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "except ConversionError as problem: assert 'lacks' in str(problem)\n"  # the vocabulary, at the end
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(file), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (tmp_path / "model.safetensors").stat().st_size > rows * 896 * 2
    grown = int(done.stdout) * 1024
    assert grown < file.stat().st_size + 150_000_000  # the mapped file, and some pieces


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    llama = write_gguf(tmp_path / "llama.gguf", random_model(), kind="llama")
    with pytest.raises(ConversionError, match=r"llama\.gguf holds a model of the kind 'llama'; only qwen2"):
        convert_gguf(llama, tmp_path)
    (tmp_path / "text.gguf").write_text("no model at all, only a sentence of some length")
    with pytest.raises(ConversionError, match=r"text\.gguf is not a GGUF file"):
        convert_gguf(tmp_path / "text.gguf", tmp_path)


REFERENCE = Qwen2Tokenizer(
    vocab={token: at for at, token in enumerate(vocabulary().tokens[:261])},
    merges=[tuple(merge.split(" ")) for merge in vocabulary().merges],
)
OWN = build_tokenizer(vocabulary())


@given(st.text(max_size=60) | st.sampled_from(["hello hell  he\r\n\n12'LL don't", "e\u0301 ﷺ 你好，世界！"]))
def test_text_is_cut_as_transformers_cuts_it_for_qwen2(text: str) -> None:
    ids = OWN.encode(text).ids
    assert ids == REFERENCE.encode(text, add_special_tokens=False)
    assert OWN.decode(ids) == REFERENCE.decode(ids)


@pytest.mark.model
def test_the_starter_has_qwen2s_numbers_for_chinese_and_controls(model_dir: Path) -> None:
    tokenizer = Tokenizer.from_file(str(model_dir / "tokenizer.json"))
    assert tokenizer.encode("你好，世界").ids == [108386, 3837, 99489]
    assert tokenizer.encode("Hello, world!<|im_end|>").ids == [9707, 11, 1879, 0, 151645]
    assert tokenizer.get_vocab_size() == 151665


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory

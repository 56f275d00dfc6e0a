"""llama.cpp loads the GGUF file that a model is in int4, and says there what this engine says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_model import TEXT, random_model, vocabulary, write_tokenizer

from bot.engine import Message, Prompt
from bot.engine.config.arrays import Floats
from bot.engine.factory import open_decoder, open_tokenizer
from bot.engine.model.decoder import Chunk
from bot.engine.quantization.prepare import prepare, write_int4
from bot.engine.weights.model_files import ModelFiles

pytestmark = pytest.mark.llama_cpp

QUESTIONS = ("What is the capital of France? Answer in one word.", "用一个词回答：雪是什么颜色的？", "2+2=?")


@pytest.fixture(scope="module")
def llama_cpp() -> Any:
    return pytest.importorskip("llama_cpp", reason="needs llama-cpp-python: `make .venv/.bench`")


def theirs(model: Any, ids: list[int]) -> Floats:
    """llama.cpp's logits after each of `ids`, [ids, vocabulary]."""
    model.reset()
    model.eval(ids)
    return np.array(model.scores[: len(ids)], np.float32)


def ours(path: Path, ids: list[int]) -> Floats:
    decoder = open_decoder(path, "int4")
    return decoder.logits(decoder.forward([Chunk(ids, decoder.new_cache())]))


@pytest.mark.parametrize(
    ("family", "sizes"),
    [
        ("qwen2", {}),
        ("qwen2", {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e6}}),
        ("qwen3", {"head_dim": 64}),
        ("llama", {}),
    ],
    ids=["qwen2", "qwen2, linear frequencies", "qwen3", "llama"],
)
def test_a_random_model_of_each_family_has_the_same_logits(
    tmp_path: Path, llama_cpp: Any, family: str, sizes: dict[str, Any]
) -> None:
    calm = random_model(family, hidden_size=256, intermediate_size=512, **sizes)
    for layer in calm.model.layers:
        layer.self_attn.q_proj.weight.data.mul_(0.1)  # no attention so sharp that rounding decides
    calm.save_pretrained(tmp_path)
    write_tokenizer(vocabulary(), tmp_path)
    model = llama_cpp.Llama(str(write_int4(tmp_path).gguf), n_ctx=64, logits_all=True, verbose=False)
    ids = [(7 * at + 3) % 250 for at in range(40)]
    found, expected = theirs(model, ids), ours(tmp_path, ids)
    assert np.linalg.norm(found - expected) < 0.1 * np.linalg.norm(expected)


def test_it_cuts_text_into_the_same_tokens(float_dir: Path, llama_cpp: Any) -> None:
    model = llama_cpp.Llama(str(write_int4(float_dir).gguf), vocab_only=True, verbose=False)
    text = TEXT.read_text(encoding="utf-8") + " 12345 don't\r\n\t{x}  😀 naïve"
    ids = open_tokenizer(ModelFiles(float_dir)).encode_text(text)
    assert model.tokenize(text.encode(), add_bos=False) == ids


def test_the_starter_says_the_same_there(float_dir: Path, llama_cpp: Any) -> None:
    prepare(float_dir, "int4")
    model = llama_cpp.Llama(str(write_int4(float_dir).gguf), n_ctx=1024, logits_all=True, verbose=False)
    tokenizer = open_tokenizer(ModelFiles(float_dir))
    for question in QUESTIONS:
        asked = Prompt((Message("system", "You are brief."), Message("user", question)))
        messages = [{"role": each.speaker, "content": each.content} for each in asked.messages]
        said = model.create_chat_completion(messages, temperature=0.0, max_tokens=8)
        answer = tokenizer.decode(greedy(float_dir, tokenizer.encode(asked), tokenizer.eos_token_ids))
        assert said["choices"][0]["message"]["content"] == answer
    ids = tokenizer.encode_text(TEXT.read_text(encoding="utf-8"))
    found, expected = theirs(model, ids), ours(float_dir, ids)
    assert (found.argmax(1) == expected.argmax(1)).mean() > 0.95
    assert np.linalg.norm(found - expected) < 0.05 * np.linalg.norm(expected)


def greedy(path: Path, ids: list[int], ends: set[int]) -> list[int]:
    """This engine's likeliest answer, of eight tokens at most."""
    decoder, answer = open_decoder(path, "int4"), list[int]()
    cache, some = decoder.new_cache(), ids
    while len(answer) < 8:
        best = int(decoder.logits(decoder.forward([Chunk(some, cache)], last_only=True))[0].argmax())
        if best in ends:
            break
        answer.append(best)
        some = [best]
    return answer

"""The decoder computes what transformers computes, however a text is cut into passes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from random_model import MISSION, random_model, write_hub_directory

from bot.engine import EngineError, Message, Prompt
from bot.engine.config.arrays import Floats
from bot.engine.factory import open_decoder
from bot.engine.model.decoder import Chunk, Decoder
from bot.engine.model.token_tree import TokenTree
from bot.engine.text.chat_template import ChatTokenizer

LLAMA3: dict[str, Any] = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen2, grouped queries, tied": ("qwen2", {"tie_word_embeddings": True}),
    "qwen2, a key for each query, separate head": (
        "qwen2",
        {"num_key_value_heads": 4, "tie_word_embeddings": False},
    ),
    "qwen3, wide heads, tied": ("qwen3", {"head_dim": 32, "tie_word_embeddings": True}),
    "qwen3, one key for all, separate head": (
        "qwen3",
        {"num_key_value_heads": 1, "head_dim": 16, "tie_word_embeddings": False},
    ),
    "llama, separate head": ("llama", {"tie_word_embeddings": False}),
    "llama, tied, with biases": ("llama", {"tie_word_embeddings": True, "attention_bias": True}),
    "llama, Llama 3's positions": ("llama", {"rope_parameters": LLAMA3}),
    "llama, linear positions": (
        "llama",
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}},
    ),
}
CLOSE = 1e-3  # of a logit in float32


def some_ids(count: int, seed: int = 0) -> list[int]:
    """Any tokens of the small vocabulary."""
    return torch.randint(0, 250, (count,), generator=torch.Generator().manual_seed(seed)).tolist()


def logits(decoder: Decoder, ids: Sequence[int]) -> torch.Tensor:
    """[tokens, vocabulary] of one sequence in one pass."""
    return torch.from_numpy(decoder.logits(decoder.forward([Chunk(list(ids), decoder.new_cache())])))


def greedy(decoder: Decoder, ids: Sequence[int], count: int) -> list[int]:
    """The likeliest next tokens, one at a time."""
    cache, said, new = decoder.new_cache(), [], list(ids)
    for _ in range(count):
        hidden = decoder.forward([Chunk(new, cache)], last_only=True)
        new = [int(decoder.logits(hidden).argmax())]
        said += new
    return said


def stock_logits(model: Any, ids: Sequence[int]) -> torch.Tensor:
    """The same of transformers."""
    with torch.inference_mode():
        found: torch.Tensor = model(torch.tensor([list(ids)])).logits[0]
    return found


def stock_greedy(model: Any, ids: Sequence[int], count: int) -> list[int]:
    """The same of transformers' own `generate`, without an end."""
    given = torch.tensor([list(ids)])
    with torch.inference_mode():
        found = model.generate(
            given,
            attention_mask=torch.ones_like(given),
            do_sample=False,
            repetition_penalty=1.0,
            min_new_tokens=count,
            max_new_tokens=count,
            eos_token_id=None,
            pad_token_id=0,
        )
    return list(found[0, len(ids) :].tolist())


@pytest.mark.parametrize("name", MODELS)
def test_each_family_computes_as_transformers(name: str, tmp_path: Path) -> None:
    family, sizes = MODELS[name]
    model = random_model(family, **sizes)
    model.save_pretrained(tmp_path)
    decoder, ids = open_decoder(tmp_path, "fp32"), some_ids(150)
    expected = stock_logits(model, ids)
    assert expected.std() > 1, "a difference would be seen"
    assert (logits(decoder, ids) - expected).abs().max() < CLOSE
    assert greedy(decoder, ids[:20], 24) == stock_greedy(model, ids[:20], 24)


def test_the_hub_s_older_way_to_write_positions_is_the_same(tmp_path: Path) -> None:
    model = random_model("llama", rope_parameters=LLAMA3)
    model.save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    scaling = config.pop("rope_parameters")
    older = {**config, "rope_theta": scaling.pop("rope_theta"), "rope_scaling": scaling}
    file.write_text(json.dumps(older), encoding="utf-8")
    ids = some_ids(100)
    found = logits(open_decoder(tmp_path, "fp32"), ids)
    assert (found - stock_logits(model, ids)).abs().max() < CLOSE


def test_weights_in_several_files_or_pickled_are_the_same(tmp_path: Path) -> None:
    model = random_model()
    expected, ids = stock_logits(model, some_ids(30)), some_ids(30)
    model.save_pretrained(tmp_path / "parts", max_shard_size="200KB")
    assert len([*(tmp_path / "parts").glob("*.safetensors")]) > 1
    model.save_pretrained(tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pickled" / "pytorch_model.bin")
    for directory in ("parts", "pickled"):
        found = logits(open_decoder(tmp_path / directory, "fp32"), ids)
        assert (found - expected).abs().max() < CLOSE
    (tmp_path / "pickled" / "pytorch_model.bin").unlink()
    with pytest.raises(EngineError, match="has no weights"):
        open_decoder(tmp_path / "pickled", "fp32")


def test_the_starter_computes_and_writes_as_transformers(model_dir: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    auto: Any = AutoModelForCausalLM  # half typed
    directory = write_hub_directory(model_dir, tmp_path / "hub")
    model = auto.from_pretrained(directory, dtype=torch.float32, local_files_only=True).eval()
    decoder, encoder = open_decoder(directory, "fp32"), ChatTokenizer(directory)
    for text in ("用一句话介绍一下北京的秋天。", "Why is the sky blue? Answer in one sentence."):
        ids = encoder.encode(Prompt((Message("user", text),)))
        assert (logits(decoder, ids) - stock_logits(model, ids)).abs().max() < CLOSE
        said = greedy(decoder, ids, 16)
        assert said == stock_greedy(model, ids, 16)
        assert encoder.decode(said).strip()


def test_the_mission_s_shape_computes_and_writes_as_transformers(tmp_path: Path) -> None:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(5)
    # A quarter of its 24 layers, which are all alike, so that it takes seconds.
    model = Qwen2ForCausalLM(Qwen2Config(**{**MISSION, "num_hidden_layers": 6})).eval()
    model.save_pretrained(tmp_path)
    decoder = open_decoder(tmp_path, "fp32")
    assert decoder.config.num_kv_heads == decoder.config.num_heads == 16
    ids = torch.randint(0, 151000, (40,)).tolist()
    assert (logits(decoder, ids) - stock_logits(model, ids)).abs().max() < CLOSE
    assert greedy(decoder, ids, 6) == stock_greedy(model, ids, 6)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    """Of a small Qwen3 model, in float32."""
    directory = tmp_path_factory.mktemp("decoder")
    random_model("qwen3", head_dim=32, max_position_embeddings=4096).save_pretrained(directory)
    return open_decoder(directory, "fp32")


def same(found: Floats, expected: Floats) -> bool:
    """Equal but for the order in which float32 adds."""
    return found.shape == expected.shape and bool(np.allclose(found, expected, atol=2e-4))


def alone(decoder: Decoder, ids: Sequence[int]) -> Floats:
    """Hidden states of a sequence in one pass."""
    return decoder.forward([Chunk(list(ids), decoder.new_cache())])


# 1500 tokens are too many for batched products in one pass, which attention does in another way then.
@pytest.mark.parametrize(("length", "cuts"), [(90, (1, 2, 30, 31, 89)), (1500, (1200, 1201, 1300))])
def test_a_prompt_read_in_chunks_is_the_same_as_in_one_go(
    decoder: Decoder, length: int, cuts: tuple[int, ...]
) -> None:
    ids, cache = some_ids(length), decoder.new_cache()
    whole = alone(decoder, ids)
    pieces = [
        decoder.forward([Chunk(ids[start:end], cache)])
        for start, end in zip((0, *cuts), (*cuts, length), strict=True)
    ]
    assert cache.tokens == ids
    assert same(np.concatenate(pieces), whole)


def test_a_long_text_computes_as_transformers(tmp_path: Path) -> None:
    model = random_model("qwen2", max_position_embeddings=2048)
    model.save_pretrained(tmp_path)
    ids = some_ids(1500)
    found = logits(open_decoder(tmp_path, "fp32"), ids)
    assert (found - stock_logits(model, ids)).abs().max() < CLOSE


def test_several_sequences_in_one_pass_are_each_as_alone(decoder: Decoder) -> None:
    texts = [some_ids(count, count) for count in (60, 1, 33, 7, 20)]
    known = [59, 0, 20, 0, 19]  # of each, what is in its cache before
    caches = [decoder.new_cache() for _ in texts]
    for text, cache, count in zip(texts, caches, known, strict=True):
        if count:
            decoder.forward([Chunk(text[:count], cache)])
    chunks = [Chunk(text[count:], cache) for text, cache, count in zip(texts, caches, known, strict=True)]
    ends = [*accumulate(len(chunk.tokens) for chunk in chunks)]
    found = np.split(decoder.forward(chunks), ends[:-1])
    for text, cache, count, states in zip(texts, caches, known, found, strict=True):
        assert same(states, alone(decoder, text)[count:])
        assert cache.tokens == text
    # What they left in the caches is as good: each goes on as if it had been alone.
    after = decoder.forward([Chunk([5], cache) for cache in caches])
    for text, states in zip(texts, after, strict=True):
        assert same(states[None], alone(decoder, [*text, 5])[-1:])


@pytest.mark.parametrize("length", [0, 25, 1200])
def test_branches_are_each_as_a_run_of_its_own(decoder: Decoder, length: int) -> None:
    shared = some_ids(length, 3)
    paths = [[1, 2, 3, 4], [1, 2, 9], [1, 2, 3, 5, 6], [8], [8, 8, 8]]
    paths += [[7, *some_ids(200, seed)] for seed in range(3)]  # enough for the other way of attention
    cache, tree = decoder.new_cache(), TokenTree()
    if shared:
        decoder.forward([Chunk(shared, cache)])
    ends = [tree.add(path) for path in paths]
    assert len(tree) < sum(map(len, paths)), "beginnings are shared"
    other = some_ids(11, 4)
    chunks = [
        Chunk(other, decoder.new_cache()),
        Chunk(tree.tokens, cache, depths=tree.depths, mask=tree.mask()),
    ]
    found = decoder.forward(chunks)
    assert same(found[: len(other)], alone(decoder, other))
    for path, end in zip(paths, ends, strict=True):
        assert same(found[len(other) + end][None], alone(decoder, [*shared, *path])[-1:])
    cache.truncate(length)
    assert same(decoder.forward([Chunk([4, 5], cache)]), alone(decoder, [*shared, 4, 5])[-2:])


def test_rows_and_last_only_are_rows_of_the_whole_answer(decoder: Decoder) -> None:
    texts = [some_ids(count, count) for count in (12, 1, 30)]

    def forward(**options: Any) -> Floats:
        chunks = [Chunk(text, decoder.new_cache()) for text in texts]
        found = decoder.forward(chunks, **options)
        assert [chunk.cache.tokens for chunk in chunks] == texts
        return found

    whole = forward()
    assert whole.shape == (43, decoder.config.hidden_size)
    assert same(forward(last_only=True), whole[[11, 12, 42]])
    for rows in ([0], [42, 3, 3, 17], [*range(43)]):
        assert same(forward(rows=rows), whole[rows])
    one = decoder.forward([Chunk([5], decoder.new_cache())], last_only=True)
    assert same(one, alone(decoder, [5]))


def test_some_rows_of_the_head_are_columns_of_all_logits(decoder: Decoder) -> None:
    hidden = alone(decoder, some_ids(9))
    wanted = [3, 200, 0, 3]
    found = decoder.logits(hidden, wanted)
    assert np.allclose(found, decoder.logits(hidden)[:, wanted], atol=1e-4)
    assert found.dtype == np.float32

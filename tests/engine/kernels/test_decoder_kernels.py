"""The kernels' decoder answers as float32 does with the same quantized weights: every family and pass."""

from __future__ import annotations

import gc
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from model_shapes import SHAPES
from random_model import random_model
from rounded_decoder import CLOSE, error, rounded

from bot.engine import EngineError
from bot.engine.cache.kv_cache import KVCache, Memory, Segment
from bot.engine.factory import open_decoder
from bot.engine.kernels import decoder as decoder_of_kernels
from bot.engine.kernels.bindings import choose_kernels, runnable
from bot.engine.kernels.build_library import HERE
from bot.engine.kernels.decoder import CompiledDecoder
from bot.engine.model.decoder import Chunk, Decoder
from bot.engine.model.token_tree import TokenTree
from bot.engine.model.torch_decoder import TorchDecoder
from bot.engine.quantization.quantize import quantize_int8


def quantized(weight: torch.Tensor) -> torch.Tensor:
    """A weight as int8 keeps it, as float32."""
    codes, scales = quantize_int8(weight.detach().numpy())
    return torch.from_numpy(codes * scales[:, None])


@pytest.fixture(scope="module", params=SHAPES)
def directories(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A model, and the same with its quantized weights as float32."""
    family, sizes = SHAPES[request.param]
    model = random_model(family, **sizes)
    directory = tmp_path_factory.mktemp("kernels")
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.q_proj.weight.mul_(0.1)  # no attention so sharp that rounding decides
    model.save_pretrained(directory / "model")
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, torch.nn.Linear) and name != "lm_head":
                module.weight.copy_(quantized(module.weight))
    model.save_pretrained(directory / "quantized")
    return directory / "model", directory / "quantized"


@pytest.fixture(scope="module", params=runnable())
def pair(request: pytest.FixtureRequest, directories: tuple[Path, Path]) -> tuple[Decoder, Decoder]:
    """One variant's decoder, and torch's with the same rounded weights and activations in float32."""
    model, exact = directories
    found = open_decoder(model, "int8", threads=2, kernels=request.param)
    return found, rounded(open_decoder(exact, "fp32"))


def test_it_is_the_kernels_decoder_that_is_opened(pair: tuple[Decoder, Decoder]) -> None:
    assert type(pair[0]) is CompiledDecoder
    assert type(pair[1]) is TorchDecoder


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 11, 12, 13, 17, 40])
def test_any_number_of_tokens_at_once(pair: tuple[Decoder, Decoder], count: int) -> None:
    ids = [(7 * at + 3) % 250 for at in range(count)]
    found, expected = (each.forward([Chunk(ids, each.new_cache())]) for each in pair)
    assert error(found, expected) < CLOSE


def test_token_by_token_after_a_prompt(pair: tuple[Decoder, Decoder]) -> None:
    ids = [(5 * at + 1) % 250 for at in range(90)]
    states = []
    for decoder in pair:
        cache = decoder.new_cache()
        parts = [ids[:70], *([token] for token in ids[70:])]
        states.append(
            np.concatenate([decoder.forward([Chunk(part, cache)], last_only=True) for part in parts])
        )
    assert error(states[0], states[1]) < CLOSE


def test_several_sequences_in_one_pass_stay_apart(pair: tuple[Decoder, Decoder]) -> None:
    states = []
    for decoder in pair:
        caches = [decoder.new_cache() for _ in range(4)]
        for number, cache in enumerate(caches):
            decoder.forward([Chunk(list(range(10 * number, 10 * number + 3 * number + 1)), cache)])
        first = decoder.forward([Chunk([9], cache) for cache in caches])
        uneven = [Chunk([8] * size, cache) for size, cache in zip((1, 6, 2, 1), caches, strict=True)]
        states.append((first, decoder.forward(uneven), decoder.forward([Chunk([7], c) for c in caches])))
    for found, expected in zip(*states, strict=True):
        assert error(found, expected) < CLOSE


def test_branches_see_their_own_tokens_only(pair: tuple[Decoder, Decoder]) -> None:
    tree = TokenTree()
    for ids in ([5, 6, 7], [5, 6, 8, 9], [5, 3], [4]):
        tree.add(ids)
    states = []
    for decoder in pair:
        cache = decoder.new_cache()
        decoder.forward([Chunk(list(range(30)), cache)])
        chunk = Chunk(tree.tokens, cache, depths=tree.depths, mask=tree.mask())
        rows = [len(tree.tokens) - 1, 2, 2, 0]
        states.append(decoder.forward([chunk], rows=rows))
    assert error(states[0], states[1]) < CLOSE


def test_a_pass_has_the_same_numbers_however_it_is_cut(pair: tuple[Decoder, Decoder]) -> None:
    """Not nearly: a text's scores must not depend on what is read beside it."""
    decoder, ids = pair[0], [(11 * at + 5) % 250 for at in range(150)]
    whole = decoder.forward([Chunk(ids, decoder.new_cache())])
    for size in (1, 3, 4, 6, 30, 65):
        cache = decoder.new_cache()
        parts = [decoder.forward([Chunk(ids[at : at + size], cache)]) for at in range(0, len(ids), size)]
        assert np.array_equal(np.concatenate(parts), whole)
    beside = decoder.forward([Chunk(ids[:9], decoder.new_cache()), Chunk(ids, decoder.new_cache())])
    assert np.array_equal(beside[9:], whole)
    assert np.array_equal(decoder.logits(whole)[5], decoder.logits(whole[5:6])[0])


def cut_up(cache: KVCache, cuts: Sequence[int], room: int) -> KVCache:
    """The same tokens in segments between these cuts, somewhere in memories that have no numbers else."""
    states, segments = cache.gather(), []
    for at, (start, end) in enumerate(pairwise((0, *cuts, len(cache)))):
        layers, heads, _, width = states.shape
        numbers = np.full((layers, heads, end - start + at + room, width), np.nan, np.float32)
        segment = Segment(Memory(numbers, at + end - start), at, at + end - start)
        segment.states[:] = states[:, :, start:end]
        segments.append(segment)
    return KVCache.sharing(cache.tokens, segments)


CUTS = [((), 2), ((1,), 50), ((64,), 0), ((3, 4, 9), 50), ((5, 64, 65, 70), 2), (range(1, 75), 0)]


@pytest.mark.parametrize(("cuts", "room"), CUTS, ids=str)
def test_a_pass_has_the_same_numbers_however_keys_and_values_lie(
    pair: tuple[Decoder, Decoder], cuts: Sequence[int], room: int
) -> None:
    """To the bit: an answer with the cache is the answer without it."""
    decoder = pair[0]
    tree = TokenTree()
    for path in ([5, 6, 7], [5, 6, 8, 9], [5, 3], [4]):
        tree.add(path)
    whole = decoder.new_cache(room=200)
    decoder.forward([Chunk([(11 * at + 5) % 250 for at in range(75)], whole)])
    parts = cut_up(whole, cuts, room)
    other = decoder.new_cache()
    for chunk in (
        Chunk([9], whole),
        Chunk([1, 2, 3, 4, 5, 6], whole),
        Chunk(tree.tokens, whole, tree.depths, tree.mask()),
    ):
        expected = decoder.forward([chunk])
        found = decoder.forward([Chunk([8, 7], other), replace(chunk, cache=parts)])[2:]
        assert np.array_equal(found, expected)
        assert np.array_equal(parts.gather(), whole.gather())


def test_a_branch_has_the_same_numbers_alone_and_beside_others(pair: tuple[Decoder, Decoder]) -> None:
    """Texts of one role are branches of one pass."""
    decoder, prompt = pair[0], list(range(30))
    paths = [[(13 * at + 29 * number) % 250 for at in range(1 + 3 * number)] for number in range(9)]
    tree, cache = TokenTree(), decoder.new_cache()
    ends = [tree.add(path) for path in paths]
    decoder.forward([Chunk(prompt, cache)])
    together = decoder.forward([Chunk(tree.tokens, cache, tree.depths, tree.mask())], rows=ends)
    for path, found in zip(paths, together, strict=True):
        alone = decoder.forward([Chunk(prompt + path, decoder.new_cache())], last_only=True)
        assert np.array_equal(alone[0], found)


def test_logits_of_several_rows(pair: tuple[Decoder, Decoder]) -> None:
    hidden = pair[1].forward([Chunk(list(range(6)), pair[1].new_cache())])
    for count in (1, 2, 6):
        exact, found = pair[1].logits(hidden[:count]), pair[0].logits(hidden[:count])
        assert error(found, exact) < 0.02  # the exact one's head is not rounded
        chosen = exact[np.arange(count), found.argmax(1)]
        assert (exact.max(1) - chosen).max() < 0.02 * exact.std(), "another only where both are as likely"


def test_nan_spoils_its_own_row_only(pair: tuple[Decoder, Decoder]) -> None:
    decoder = pair[0]
    caches = [decoder.new_cache() for _ in range(3)]
    for cache in caches:
        decoder.forward([Chunk([1, 2, 3], cache)])
    expected = decoder.forward([Chunk([4], cache) for cache in caches])
    for cache in caches:
        cache.truncate(3)
    caches[1].segments(1, 2)[0].states[0] = float("nan")
    found = decoder.forward([Chunk([4], cache) for cache in caches])
    assert np.isnan(found[1]).all()
    assert np.array_equal(found[[0, 2]], expected[[0, 2]])


@pytest.mark.parametrize("threads", [1, 3])
def test_any_number_of_threads_gives_the_same(tmp_path: Path, threads: int) -> None:
    random_model("qwen2", vocab_size=320, hidden_size=128).save_pretrained(tmp_path)
    ids = list(range(40))
    two, other = (open_decoder(tmp_path, "int8", threads=count) for count in (2, threads))
    found, expected = (each.forward([Chunk(ids, each.new_cache())]) for each in (other, two))
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("kernels", runnable())
def test_a_pass_leaves_the_callers_arithmetic_as_it_was(tmp_path: Path, kernels: str) -> None:
    random_model("qwen2", vocab_size=320, hidden_size=128).save_pretrained(tmp_path)
    decoder = open_decoder(tmp_path, "int8", threads=1, kernels=kernels)

    def afterwards() -> tuple[np.longdouble, np.float32]:
        decoder.forward([Chunk(list(range(40)), decoder.new_cache())])
        # On x86, MMX left in use makes the first NaN, and flushing to zero the second 0.
        return np.longdouble(7) / np.longdouble(2), np.float32(2.0**-140) * np.float32(2)

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(afterwards).result() == (3.5, 2.0**-139)


def test_its_threads_end_with_it(tmp_path: Path) -> None:
    random_model("qwen2", vocab_size=320, hidden_size=128).save_pretrained(tmp_path)
    others = thread_ids()
    decoder = open_decoder(tmp_path, "int8", threads=3)
    decoder.forward([Chunk([1, 2], decoder.new_cache())])
    its_own = thread_ids() - others
    assert len(its_own) == 2
    del decoder
    gc.collect()
    assert not thread_ids() & its_own


def thread_ids() -> set[int]:
    """This process's threads; those of other tests may end at any time."""
    return {thread.id for thread in psutil.Process().threads()}


@pytest.mark.parametrize(
    ("header", "name"),
    [("kernels.h", "GROUP"), ("kernels.h", "BLOCK"), ("attention.h", "SHARING"), ("attention.h", "SPARE")],
)
def test_memory_is_made_for_the_sizes_that_the_kernels_have(header: str, name: str) -> None:
    size = re.search(rf"\benum {{[^}}]*\b{name} = (\d+)", (HERE / header).read_text(encoding="ascii"))
    assert size is not None
    assert int(size[1]) == getattr(decoder_of_kernels, name)


def test_kernels_that_are_not_here_are_refused_by_name() -> None:
    with pytest.raises(EngineError, match=r"KERNELS=fast: there are no such kernels; here are auto, .*plain"):
        choose_kernels("fast")
    assert choose_kernels("plain").name == b"plain"

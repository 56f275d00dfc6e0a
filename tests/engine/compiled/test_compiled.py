"""Compiled passes answer as float32 does with the same quantized weights: every family and kind of pass."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from patience import PATIENCE
from random_model import random_model

from bot.engine import compiled
from bot.engine.compiled import object_cache
from bot.engine.config.arrays import Floats
from bot.engine.config.precision import INT4_GROUP, QUANTIZED
from bot.engine.factory import open_decoder
from bot.engine.model.decoder import Chunk, Decoder
from bot.engine.model.token_tree import TokenTree
from bot.engine.model.torch_decoder import TorchDecoder
from config.settings import ROOT

pytestmark = pytest.mark.skipif(not compiled.can_run(), reason="the kernels are for x86-64 with AVX2")

FAMILIES = ("qwen2", "qwen3", "llama")
# The norm of the error to that of the float32 answer with the same weights: activations have 15 bits or 8.
# Rounding to 8 bits in 18 projections of random weights makes what torch's own kernel makes of it.
EXACT, EIGHT_BIT = 2e-3, 0.12


def quantized(weight: torch.Tensor, precision: str) -> torch.Tensor:
    """A weight as the precision keeps it, as float32."""
    if precision == "int8":
        from bot.engine.weights.int8 import Int8

        kept = Int8().quantize(weight)
        return kept["codes"].float() * kept["scale"][:, None]
    from bot.engine.compiled.int4_layout import Nibbles

    kept = Nibbles().quantize(weight)
    words = kept["nibbles"].view(torch.int16).view(len(weight), -1, 1, INT4_GROUP // 2).int()
    up = torch.tensor([28, 24, 20, 16], dtype=torch.int32)[:, None]
    codes = (words << up >> 28).reshape(len(weight), -1, INT4_GROUP)
    return (codes.float() * kept["scales"].float()[:, :, None]).view_as(weight)


@pytest.fixture(scope="module", autouse=True)
def _wherever_they_run() -> Iterator[None]:
    """Choose these kernels also where torch has faster ones: what they compute must be right there too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "runs_here", compiled.can_run)
        yield


@pytest.fixture(scope="module", params=[(f, p) for f in FAMILIES for p in QUANTIZED], ids="-".join)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Decoder]:
    """A compiled decoder, and torch's float32 decoder with the same quantized weights."""
    family, precision = request.param
    model = random_model(family, vocab_size=320, hidden_size=128)
    directory = tmp_path_factory.mktemp("compiled")
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.q_proj.weight.mul_(0.1)  # no attention so sharp that rounding decides
    model.save_pretrained(directory / "model")
    found = open_decoder(directory / "model", precision, threads=2)
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, torch.nn.Linear) and name != "lm_head":
                module.weight.copy_(quantized(module.weight, precision))
    model.save_pretrained(directory / "quantized")
    return found, open_decoder(directory / "quantized", "fp32")


def error(found: Floats, expected: Floats) -> float:
    """Relative to the norm of what is expected."""
    assert found.shape == expected.shape
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def test_it_is_the_compiled_decoder_that_is_opened(pair: tuple[Any, Decoder]) -> None:
    assert type(pair[0]).__name__ == "CompiledDecoder"
    assert type(pair[1]) is TorchDecoder


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 11, 12, 13, 17, 40])
def test_any_number_of_tokens_at_once(pair: tuple[Any, Decoder], count: int) -> None:
    ids = [(7 * at + 3) % 250 for at in range(count)]
    found, expected = (each.forward([Chunk(ids, each.new_cache())]) for each in pair)
    assert error(found, expected) < EXACT


def test_token_by_token_after_a_prompt(pair: tuple[Any, Decoder]) -> None:
    ids = [(5 * at + 1) % 250 for at in range(90)]
    states = []
    for decoder in pair:
        cache = decoder.new_cache()
        parts = [ids[:70], *([token] for token in ids[70:])]
        states.append(
            np.concatenate([decoder.forward([Chunk(part, cache)], last_only=True) for part in parts])
        )
    assert error(states[0], states[1]) < EXACT


def test_several_sequences_in_one_pass_stay_apart(pair: tuple[Any, Decoder]) -> None:
    states = []
    for decoder in pair:
        caches = [decoder.new_cache() for _ in range(4)]
        for number, cache in enumerate(caches):
            decoder.forward([Chunk(list(range(10 * number, 10 * number + 3 * number + 1)), cache)])
        first = decoder.forward([Chunk([9], cache) for cache in caches])
        uneven = [Chunk([8] * size, cache) for size, cache in zip((1, 6, 2, 1), caches, strict=True)]
        states.append((first, decoder.forward(uneven), decoder.forward([Chunk([7], c) for c in caches])))
    for found, expected in zip(*states, strict=True):
        assert error(found, expected) < EXACT


def test_branches_see_their_own_tokens_only(pair: tuple[Any, Decoder]) -> None:
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
    assert error(states[0], states[1]) < EXACT


def test_8_bit_activations_are_nearly_as_good(pair: tuple[Any, Decoder]) -> None:
    ids = list(range(20, 45))
    found, expected = (each.forward([Chunk(ids, each.new_cache())], exact=False) for each in pair)
    assert error(found, expected) < EIGHT_BIT


def test_logits_of_several_rows(pair: tuple[Any, Decoder]) -> None:
    hidden = pair[1].forward([Chunk(list(range(6)), pair[1].new_cache())])
    for count in (1, 2, 6):
        exact, found = pair[1].logits(hidden[:count]), pair[0].logits(hidden[:count])
        assert error(found, exact) < 0.02  # the head is in int8 either way
        assert np.array_equal(found.argmax(1), exact.argmax(1))


def test_nan_spoils_its_own_row_only(pair: tuple[Any, Decoder]) -> None:
    decoder = pair[0]
    caches = [decoder.new_cache() for _ in range(3)]
    for cache in caches:
        decoder.forward([Chunk([1, 2, 3], cache)])
    expected = decoder.forward([Chunk([4], cache) for cache in caches])
    for cache in caches:
        cache.truncate(3)
    caches[1].states[0, :, 1] = float("nan")
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


def kernel_threads() -> int:
    """How many threads of pools there are."""
    return sum(each.name.startswith("kernel-") for each in threading.enumerate())


def test_its_threads_end_with_it(tmp_path: Path) -> None:
    random_model("qwen2", vocab_size=320, hidden_size=128).save_pretrained(tmp_path)
    gc.collect()  # of the decoders of other tests
    before = kernel_threads()
    decoder = open_decoder(tmp_path, "int8", threads=3)
    decoder.forward([Chunk([1, 2], decoder.new_cache())])
    assert kernel_threads() == before + 2
    del decoder
    gc.collect()
    assert kernel_threads() == before


def test_a_model_of_other_sizes_runs_on_torch(tmp_path: Path) -> None:
    random_model("qwen2", vocab_size=322, hidden_size=128).save_pretrained(tmp_path)
    assert type(open_decoder(tmp_path, "int8")) is TorchDecoder


KEPT = """
import sys
sys.modules["numba"] = None  # whatever imports it fails
from bot.engine.compiled import object_cache
object_cache.load()
"""


def test_what_prepare_compiled_is_loaded_without_the_compiler() -> None:
    object_cache.fill()  # as `prepare` does
    subprocess.run([sys.executable, "-c", KEPT], cwd=ROOT, check=True, timeout=PATIENCE)


@pytest.mark.parametrize("content", [b"", b"work\n", b"work\nnonsense", b"no name and no end"])
def test_kept_code_that_is_damaged_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    object_cache.fill()
    kept = object_cache._file().read_bytes()
    monkeypatch.setattr(object_cache, "_PLACE", tmp_path)
    monkeypatch.setattr(
        object_cache, "_compiled", lambda _: object_cache._parse(kept)
    )  # that takes half a minute
    object_cache._file().write_bytes(content)
    assert callable(object_cache.load.__wrapped__())
    assert object_cache._file().read_bytes() == content, "a start writes nothing"
    object_cache.fill()
    assert object_cache._file().read_bytes() == kept, "prepare does"


def test_code_of_other_sources_or_compilers_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_cache, "_PLACE", tmp_path)
    monkeypatch.setattr(object_cache, "_compiled", lambda _: ("work", b"\x7fELF"))
    here = object_cache._file()
    object_cache.fill()
    monkeypatch.setattr(object_cache.metadata, "version", lambda _: "0.0.1")
    assert object_cache._file() != here
    object_cache.fill()
    assert [*tmp_path.iterdir()] == [object_cache._file()], "what nobody uses any more goes"

"""Whole passes by every processor's kernels: those of plain C here are proved against torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from kernels_driver import Driver
from model_shapes import SHAPES
from random_model import random_model

from bot.engine.config.arrays import Floats
from bot.engine.config.model_config import read_model_config
from bot.engine.kernels.bindings import PLAIN, Kernels, choose_kernels
from bot.engine.kernels.decoder import CompiledDecoder
from bot.engine.model.decoder import Chunk
from bot.engine.model.token_tree import TokenTree
from bot.engine.quantization.quantize import quantize_part
from bot.engine.weights.checkpoint import EMBEDDING, Checkpoint
from bot.engine.weights.parts import decoder_parts

pytestmark = pytest.mark.emulators

ODD = ("qwen2, many heads", "qwen2, uneven", "qwen3, wide heads", "llama, small heads")
# Norm of the difference to that of the answer. Instruction sets add in orders of their own, and an activation
# next to a half may then be rounded the other way, by one of 127 steps.
CLOSE = 0.01
Open = Callable[[Kernels], CompiledDecoder]


@pytest.fixture(scope="module", params=ODD)
def open_model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Open:
    family, sizes = SHAPES[request.param]
    directory: Path = tmp_path_factory.mktemp("forward")
    model = random_model(family, **sizes)
    for layer in model.model.layers:
        layer.self_attn.q_proj.weight.data.mul_(0.1)  # no attention so sharp that rounding decides
    model.save_pretrained(directory)
    config, checkpoint = read_model_config(directory), Checkpoint(directory)
    parts = {part.name: quantize_part(part, "int8") for part in decoder_parts(checkpoint, config)}
    embedding = checkpoint.get(EMBEDDING)
    return lambda kernels: CompiledDecoder(config, "int8", parts, embedding, embedding, kernels, 3)


def passes(decoder: CompiledDecoder) -> Iterator[Floats]:
    """A prompt in two parts, tokens of three sequences side by side, branches of a tree; then the caches."""
    one, other = decoder.new_cache(), decoder.new_cache(room=100)
    ids = [(7 * at + 3) % 250 for at in range(90)]
    yield decoder.forward([Chunk(ids[:67], one)])
    yield decoder.forward([Chunk(ids[67:], one), Chunk(ids[:1], other)], last_only=True)
    branch = one.fork(70)  # begins in the other's memory
    for token in (5, 6):
        yield decoder.forward([Chunk([token], one), Chunk([token, 9, 8], other), Chunk([7, token], branch)])
    tree = TokenTree()
    ends = [tree.add(path) for path in ([5, 6, 7], [5, 6, 8, 9], [5, 3], [4])]
    yield decoder.forward([Chunk(tree.tokens, one, tree.depths, tree.mask()), Chunk([3], other)], rows=ends)
    for cache in (one, other, branch):
        yield cache.gather().reshape(-1)


def test_a_pass_is_the_same_on_every_processor(drivers: list[Driver], open_model: Open) -> None:
    expected = list(passes(open_model(choose_kernels(PLAIN))))
    for driver in drivers:
        for found, right in zip(passes(open_model(cast(Kernels, driver))), expected, strict=True):
            assert found.shape == right.shape
            assert np.linalg.norm(found - right) < CLOSE * np.linalg.norm(right), driver.kernels

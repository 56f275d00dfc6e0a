"""A sequence's keys and values survive growing, forking and cutting, and no two sequences share them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_model import write_directory

from bot.engine.cache.kv_cache import KVCache
from bot.engine.config.arrays import Floats
from bot.engine.config.model_config import ModelConfig
from bot.engine.factory import open_decoder
from bot.engine.model.decoder import Chunk, Decoder

CONFIG = ModelConfig("qwen2", 8, 3, 4, 2, 4, 8, 99, 1e-6, 1000, True, (1.0, 0.1))


def filled(tokens: list[int], room: int = 0) -> KVCache:
    """A cache whose states are different in every place."""
    cache = KVCache(CONFIG, room=room)
    grow(cache, tokens)
    return cache


def grow(cache: KVCache, tokens: list[int]) -> None:
    """Append tokens as the decoder does: room first, then states, then ids."""
    start, end = len(cache), len(cache) + len(tokens)
    cache.reserve(end)
    cache.states[:, :, start:end] = states_of(tokens, start)
    cache.tokens.extend(tokens)


def states_of(tokens: list[int], start: int = 0) -> Floats:
    """What `grow` writes for tokens that stand from `start` on: [layers, heads, tokens, head_dim]."""
    layers, heads, width = CONFIG.num_layers, 2 * CONFIG.num_kv_heads, CONFIG.head_dim
    places = np.arange(layers * heads * width, dtype=np.float32).reshape(layers, heads, 1, width)
    known = np.array([1000.0 * token + at for at, token in enumerate(tokens, start)], np.float32)
    return places + 100 * known[:, None]


def holds(cache: KVCache, tokens: list[int]) -> bool:
    """Whether the cache has these tokens and the states that belong to them."""
    return cache.tokens == tokens and np.array_equal(cache.states[:, :, : len(cache)], states_of(tokens))


def test_making_room_keeps_what_is_there_and_at_least_doubles() -> None:
    tokens = [*range(64)]
    cache = filled(tokens)
    assert cache.capacity == 64
    before = cache.states
    cache.reserve(64)
    assert cache.states is before, "there is room"
    cache.reserve(65)
    assert cache.capacity == 128
    assert holds(cache, tokens)
    cache.reserve(1000)
    assert cache.capacity == 1000
    assert holds(cache, tokens)
    assert cache.nbytes == 1000 * CONFIG.num_layers * 2 * CONFIG.num_kv_heads * CONFIG.head_dim * 4


@pytest.mark.parametrize("length", [0, 1, 40, 70])
def test_a_fork_is_a_copy_of_the_beginning_with_its_own_room(length: int) -> None:
    tokens = [*range(70)]
    cache = filled(tokens)
    fork = cache.fork(length, room=50)
    assert holds(fork, tokens[:length])
    assert fork.capacity >= length + 50
    assert fork.states.dtype == cache.states.dtype
    assert holds(cache, tokens), "forking changes nothing"


def test_what_happens_to_a_fork_does_not_happen_to_the_other() -> None:
    tokens = [*range(30)]
    cache = filled(tokens, room=100)
    one, other = cache.fork(30, room=10), cache.fork(20, room=10)
    for some, rest in ((cache, one), (cache, other), (one, other)):
        assert not np.shares_memory(some.states, rest.states)
    grow(one, [7, 8, 9])
    grow(cache, [5])
    one.states[:, :, :10] = -1
    one.truncate(0)
    assert holds(cache, [*tokens, 5])
    assert holds(other, tokens[:20])


def test_cutting_forgets_the_rest_and_keeps_the_memory_as_room() -> None:
    cache = filled([*range(30)])
    memory = cache.states
    cache.truncate(12)
    assert holds(cache, [*range(12)])
    assert cache.states is memory
    grow(cache, [50, 51])
    assert holds(cache, [*range(12), 50, 51])
    cache.truncate(14)
    cache.truncate(0)
    assert len(cache) == 0


@pytest.mark.parametrize("length", [-1, 4])
def test_more_than_there_is_cannot_be_forked_or_kept(length: int) -> None:
    cache = filled([1, 2, 3])
    with pytest.raises(ValueError, match="cannot fork"):
        cache.fork(length)
    with pytest.raises(ValueError, match="cannot truncate"):
        cache.truncate(length)
    assert holds(cache, [1, 2, 3])


STEPS = st.one_of(
    st.tuples(st.just("grow"), st.integers(0, 3), st.integers(0, 90)),
    st.tuples(st.sampled_from(["cut", "fork", "reserve"]), st.integers(0, 3), st.integers(0, 200)),
)


@given(steps=st.lists(STEPS, max_size=12))
def test_any_order_of_steps_keeps_every_sequence(steps: list[tuple[str, int, int]]) -> None:
    caches, expected = [filled([1, 2, 3])], [[1, 2, 3]]
    for number, (step, which, size) in enumerate(steps):
        at = which % len(caches)
        if step == "grow":
            new = [number] * size
            grow(caches[at], new)
            expected[at] += new
        elif step == "reserve":
            caches[at].reserve(size)
        else:
            length = min(size, len(expected[at]))
            if step == "cut":
                caches[at].truncate(length)
                del expected[at][length:]
            else:
                caches.append(caches[at].fork(length, room=size))
                expected.append(expected[at][:length])
    assert all(holds(cache, tokens) for cache, tokens in zip(caches, expected, strict=True))


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    """A small random model's."""
    directory: Path = write_directory(tmp_path_factory.mktemp("cache") / "model")
    return open_decoder(directory, "fp32")


def test_the_decoder_goes_on_from_a_fork_as_if_it_had_read_all_of_it(decoder: Decoder) -> None:
    ids = [(7 * at) % 250 for at in range(80)]
    cache = decoder.new_cache()
    decoder.forward([Chunk(ids, cache)])
    fork = cache.fork(50)
    cache.truncate(60)
    ways = {"fork": [*ids[:50], 9, 8, 7], "cut": [*ids[:60], 9, 8, 7]}
    for way, known in (("fork", fork), ("cut", cache)):
        found = decoder.forward([Chunk([9, 8, 7], known)])
        fresh = decoder.forward([Chunk(ways[way], decoder.new_cache())])[-3:]
        assert np.allclose(found, fresh, atol=1e-4), way
        assert known.tokens == ways[way]

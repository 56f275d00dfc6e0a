"""A sequence's keys and values survive growing, forking and cutting, whoever shares them, without copies."""

from __future__ import annotations

import ctypes
import mmap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_model import write_directory

from bot.engine.cache.kv_cache import SEGMENT, KVCache, Memory
from bot.engine.config.arrays import Floats
from bot.engine.config.model_config import ModelConfig
from bot.engine.factory import open_decoder
from bot.engine.model.decoder import Chunk, Decoder

CONFIG = ModelConfig("qwen2", 8, 3, 4, 2, 4, 8, 99, 1e-6, 1000, True, (1.0, 0.1))
LAYERS, HEADS, WIDTH = CONFIG.num_layers, 2 * CONFIG.num_kv_heads, CONFIG.head_dim


def filled(tokens: list[int], room: int = 0) -> KVCache:
    """A cache whose states are different in every place."""
    cache = KVCache(CONFIG, room=room)
    grow(cache, tokens)
    return cache


def grow(cache: KVCache, tokens: list[int]) -> None:
    """Append tokens as a decoder does: room first, then states where they belong, then ids."""
    start, end = len(cache), len(cache) + len(tokens)
    cache.reserve(end)
    new, at = states_of(tokens, start), 0
    for segment in cache.segments(start, end):
        segment.states[:] = new[:, :, at : at + len(segment)]
        at += len(segment)
    assert at == len(tokens)
    cache.tokens.extend(tokens)


def states_of(tokens: list[int], start: int = 0) -> Floats:
    """What `grow` writes for tokens that stand from `start` on: [layers, heads, tokens, head_dim]."""
    places = np.arange(LAYERS * HEADS * WIDTH, dtype=np.float32).reshape(LAYERS, HEADS, 1, WIDTH)
    known = np.array([1000.0 * token + at for at, token in enumerate(tokens, start)], np.float32)
    return places + 100 * known[:, None]


def holds(cache: KVCache, tokens: list[int]) -> bool:
    """Whether the cache has these tokens and their states, also for whom its table tells where they are."""
    if cache.tokens != tokens or not np.array_equal(cache.gather(), states_of(tokens)):
        return False
    lines = [[*line_in_table(cache, number)] for number in (0, LAYERS * HEADS - 1)]
    return np.array_equal(lines, states_of(tokens).reshape(LAYERS * HEADS, -1)[[0, -1]])


def line_in_table(cache: KVCache, number: int) -> list[float]:
    """One head's keys or values in one layer, found by addresses alone, as the kernels find them."""
    found: list[float] = []
    for address, capacity, tokens in cache.table.tolist():
        count = min(tokens, len(cache) - len(found) // WIDTH) * WIDTH
        found += (ctypes.c_float * count).from_address(address + 4 * number * capacity * WIDTH)
    return found


def memories(cache: KVCache) -> list[Memory]:
    """Where its tokens are, the memory of each segment."""
    return [segment.memory for segment in cache.segments(0, len(cache))]


CAPACITIES = {
    0: (SEGMENT, SEGMENT, 2 * SEGMENT),
    5: (5, SEGMENT, SEGMENT + 5, 2 * SEGMENT + 10),
    500: (500, 500),
}


@pytest.mark.parametrize("room", CAPACITIES)
def test_a_sequence_grows_where_it_is_and_then_elsewhere(room: int) -> None:
    cache = filled([*range(40)], room)
    first = memories(cache)[0]
    for end in range(41, 800):
        grow(cache, [end - 1])
    assert memories(cache)[0] is first
    assert holds(cache, [*range(799)])
    assert [each.capacity for each in memories(cache)] == [*CAPACITIES[room]]


def test_a_copy_of_given_states_has_room_behind_them() -> None:
    tokens = [*range(70)]
    cache = KVCache.of(tokens, states_of([*tokens, 1, 2]), room=3)
    assert holds(cache, tokens)
    grow(cache, [7, 8, 9])
    assert len(memories(cache)) == 1
    grow(cache, [10])
    assert len(memories(cache)) == 2
    assert holds(cache, [*tokens, 7, 8, 9, 10])


@pytest.mark.parametrize("length", [0, 1, 40, 70])
def test_a_fork_has_the_beginning_where_it_is(length: int) -> None:
    tokens = [*range(70)]
    cache = filled(tokens)
    fork = cache.fork(length)
    assert holds(fork, tokens[:length])
    assert memories(fork) == memories(cache)[: len(memories(fork))]
    grow(fork, [1, 2, 3])
    assert holds(cache, tokens), "forking changes nothing"


def test_who_goes_on_first_has_the_room_and_no_other_is_disturbed() -> None:
    tokens = [*range(30)]
    cache = filled(tokens)
    forks = [cache.fork(30), cache.fork(30), cache.fork(20)]
    ways = [[7, 8, 9], [7, 8, 6], [5] * 80]
    for fork, way in zip(forks, ways, strict=True):
        grow(fork, way)
    grow(cache, [4])
    assert len(memories(forks[0])) == 1, "in the room behind what they share"
    assert all(memories(each)[0] is memories(cache)[0] for each in forks)
    assert all(memories(each)[1] is not memories(cache)[1] for each in forks[1:])
    for fork, beginning, way in zip(forks, (30, 30, 20), ways, strict=True):
        assert holds(fork, [*tokens[:beginning], *way])
    assert holds(cache, [*tokens, 4])


def test_room_that_is_given_back_is_taken_again() -> None:
    cache = filled([*range(30)])
    for number in range(SEGMENT):
        fork = cache.fork(30)
        grow(fork, [number] * (SEGMENT - 30))
        assert memories(fork) == memories(cache)
        fork.truncate(30)
    grow(cache, [50, 51])
    assert holds(cache, [*range(30), 50, 51])
    assert len(memories(cache)) == 1


def test_what_others_have_is_not_written_over_after_cutting() -> None:
    cache = filled([*range(30)])
    fork = cache.fork(20)
    kept = cache.share()
    cache.truncate(12)
    assert holds(cache, [*range(12)])
    grow(cache, [50, 51])
    assert holds(cache, [*range(12), 50, 51])
    assert holds(fork, [*range(20)])
    assert holds(KVCache.sharing(range(30), kept), [*range(30)])
    cache.truncate(0)
    assert len(cache) == 0


def test_what_was_forked_is_not_written_over_when_the_first_goes_back_behind_it() -> None:
    cache = filled([*range(30)])
    fork = cache.fork(20)
    cache.truncate(12)
    grow(cache, [5] * 18)
    assert holds(fork, [*range(20)])
    assert holds(cache, [*range(12), *[5] * 18])


def test_what_was_shared_is_not_written_over_when_the_first_goes_back_behind_it() -> None:
    cache = filled([*range(30)])
    kept = KVCache.sharing(cache.tokens, cache.share())
    cache.truncate(12)
    grow(cache, [5] * 18)
    assert holds(kept, [*range(30)])
    assert holds(cache, [*range(12), *[5] * 18])


def test_who_goes_on_apart_leaves_the_room_to_others() -> None:
    cache = filled([*range(30)])
    apart = KVCache.sharing(cache.tokens, cache.share(), apart=True)
    grow(apart, [7, 8])
    assert memories(apart)[1] is not memories(cache)[0]
    grow(apart, [9])
    assert len(memories(apart)) == 2, "and then in its own"
    grow(cache, [4])
    assert len(memories(cache)) == 1
    assert holds(apart, [*range(30), 7, 8, 9])


def test_segments_that_lie_together_are_one() -> None:
    end = SEGMENT + 30
    cache = filled([*range(end + 10)])
    parts = [*cache.segments(0, 10), *cache.segments(10, SEGMENT + 20), *cache.segments(SEGMENT + 20, end)]
    joined = KVCache.sharing(range(end), parts)
    assert holds(joined, [*range(end)])
    assert [len(segment) for segment in joined.segments(0, end)] == [SEGMENT, 30]


def test_memory_counts_by_the_pages_that_were_written() -> None:
    memory = Memory(np.zeros((1, 2, 1000, 64), np.float32))
    page = mmap.PAGESIZE // (64 * 4)  # tokens of a line's page
    for end, pages in ((0, 0), (1, 1), (page, 1), (page + 1, 2), (3, 2)):
        memory.fill(end)
        assert memory.nbytes == 2 * pages * mmap.PAGESIZE, "what was given back is still there"
    memory.fill(1000)
    assert memory.nbytes == memory.states.nbytes


@pytest.mark.parametrize("length", [-1, 4])
def test_more_than_there_is_cannot_be_forked_or_kept(length: int) -> None:
    cache = filled([1, 2, 3])
    with pytest.raises(ValueError, match="cannot fork"):
        cache.fork(length)
    with pytest.raises(ValueError, match="cannot truncate"):
        cache.truncate(length)
    assert holds(cache, [1, 2, 3])


STEPS = st.one_of(
    st.tuples(st.just("grow"), st.integers(0, 3), st.integers(0, SEGMENT)),
    st.tuples(st.sampled_from(["cut", "fork", "reserve", "share"]), st.integers(0, 3), st.integers(0, 800)),
)


@given(steps=st.lists(STEPS, max_size=16))
def test_any_order_of_steps_keeps_every_sequence(steps: list[tuple[str, int, int]]) -> None:
    caches, expected = [filled([1, 2, 3])], [[1, 2, 3]]
    for number, (step, which, size) in enumerate(steps):
        at = which % len(caches)
        length = min(size, len(expected[at]))
        if step == "grow":
            new = [number] * size
            grow(caches[at], new)
            expected[at] += new
        elif step == "reserve":
            caches[at].reserve(size)
        elif step == "cut":
            caches[at].truncate(length)
            del expected[at][length:]
        elif step == "fork":
            caches.append(caches[at].fork(length))
            expected.append(expected[at][:length])
        elif expected[at]:
            caches.append(KVCache.sharing(expected[at], caches[at].share()))
            expected.append(expected[at].copy())
    assert all(holds(cache, tokens) for cache, tokens in zip(caches, expected, strict=True))


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random model's."""
    return write_directory(tmp_path_factory.mktemp("cache") / "model")


@pytest.fixture(scope="module", params=["fp32", "int8"])
def decoder(request: pytest.FixtureRequest, directory: Path) -> Decoder:
    """torch's decoder, and the kernels'."""
    return open_decoder(directory, request.param)


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

"""Caches are used for exactly the same tokens, and the least recently used conversation goes first."""

from __future__ import annotations

import pytest

from bot.engine.cache.kv_cache import KVCache
from bot.engine.cache.prefix_cache import PrefixCache
from bot.engine.config.model_config import ModelConfig

CONFIG = ModelConfig("qwen2", 8, 1, 2, 1, 4, 8, 99, 1e-6, 100, True, (1.0, 0.1))


def cache(tokens: list[int]) -> KVCache:
    """A cache of `tokens` whose states tell which token they are of."""
    made = KVCache(CONFIG, room=64)
    made.tokens = list(tokens)
    for at, token in enumerate(tokens):
        made.states[:, :, at] = token
    return made


SIZE = cache([]).nbytes


def test_a_conversation_gets_its_own_cache_cut_to_what_is_the_same() -> None:
    store = PrefixCache(10 * SIZE)
    store.keep("a", cache([1, 2, 3, 4]))
    store.keep("b", cache([1, 2, 9]))
    found = store.take("a", [1, 2, 3, 7, 8], room=4)
    assert found is not None
    assert found.tokens == [1, 2, 3]
    assert found.states[0, 0, :3, 0].tolist() == [1.0, 2.0, 3.0]
    assert store.take("a", [1, 2, 3], room=4) is None, "who took it has it alone"
    assert store.take("b", [5, 6], room=4) is None, "nothing in common"
    assert store.take(None, [1, 2, 9], room=4) is None


def test_the_last_token_is_read_again_since_its_logits_are_wanted() -> None:
    store = PrefixCache(10 * SIZE)
    store.keep("a", cache([1, 2, 3]))
    found = store.take("a", [1, 2, 3], room=1)
    assert found is not None
    assert found.tokens == [1, 2]


def test_the_least_recently_used_conversation_goes_first_and_prefixes_stay() -> None:
    store = PrefixCache(3 * SIZE)
    store.pin(cache([7, 7]))
    store.keep("a", cache([1]))
    store.keep("b", cache([2]))
    store.keep("a", cache([1, 1]))
    store.keep("c", cache([3]))
    assert "b" not in store
    assert "a" in store
    assert "c" in store
    assert store.nbytes <= 3 * SIZE
    assert store.prefix([7, 7]) is not None
    store.pin(cache([8]))
    store.pin(cache([9]))
    assert "c" not in store, "prefixes push conversations out"
    assert store.prefix([7, 7]) is not None
    store.pin(cache([6]))
    assert store.prefix([8]) is None, "among themselves the least recently used goes"
    assert store.prefix([7, 7]) is not None


@pytest.mark.parametrize("budget", [0, SIZE // 64 * 2])
def test_a_conversation_larger_than_the_budget_is_not_kept(budget: int) -> None:
    store = PrefixCache(budget)
    store.keep("a", cache([1, 2, 3]))
    assert "a" not in store
    store.pin(cache([1, 2, 3]))
    assert store.prefix([1, 2, 3]) is not None, "one prefix always fits"


def test_forgetting_drops_for_good() -> None:
    store = PrefixCache(10 * SIZE)
    for session in "abc":
        store.keep(session, cache([1, 2]))
    store.pin(cache([7]))
    store.forget("a")
    assert "a" not in store
    assert "b" in store
    store.forget(None)
    assert store.nbytes == SIZE, "only the role's prefix is left"
    store.unpin([7])
    assert store.nbytes == 0

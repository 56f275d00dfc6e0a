"""What is known of a prompt is found by its tokens, within the budget, and roles' prefixes go last."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from states import TOKEN, cache_of, holds

from bot.engine.cache.kv_cache import KVCache
from bot.engine.cache.prefix_cache import PrefixCache

ROOM = cache_of([]).nbytes  # the least that the cache of a role's prefix takes


def known(store: PrefixCache, tokens: list[int]) -> int:
    """How many leading tokens are known, after a look at the copy."""
    found = store.match(tokens)
    assert holds(found, tokens[: len(found or ())])
    return len(found or ())


def test_any_prompt_takes_up_what_another_began_with_and_nobody_names_it() -> None:
    store = PrefixCache(100 * TOKEN)
    store.insert(cache_of([1, 2, 3, 4]), "a")
    store.insert(cache_of([1, 2, 9]))
    assert known(store, [1, 2, 3, 7, 8]) == 3
    assert known(store, [1, 2, 9]) == 3
    assert known(store, [5, 6]) == 0
    assert store.nbytes == 5 * TOKEN


def test_what_is_found_is_a_copy_with_room_for_the_rest() -> None:
    store = PrefixCache(100 * TOKEN)
    store.insert(cache_of([1, 2, 3]))
    found = store.match([1, 2, 3, 4], room=500)
    assert found is not None
    assert found.capacity == 504
    found.states[:] = -1
    assert known(store, [1, 2, 3]) == 3


def test_the_least_recently_used_goes_first_and_prefixes_stay() -> None:
    store = PrefixCache(6 * TOKEN)
    store.pin(cache_of([7, 7]))
    store.insert(cache_of([1, 1]), "a")
    store.insert(cache_of([2, 2]), "b")
    known(store, [1])
    store.insert(cache_of([3]), "c")
    assert ("a" in store, "b" in store, "c" in store) == (True, False, True)
    store.pin(cache_of([8, 8]))
    store.pin(cache_of([9, 9]))
    assert ("a" in store, "c" in store) == (False, False), "prefixes push all else out"
    store.insert(cache_of([1]), "a")
    assert "a" not in store
    known(store, [7, 7])
    store.pin(cache_of([6]))
    assert [store.holds([each] * 2) for each in (7, 8, 9)] == [True, False, True]


@pytest.mark.parametrize("budget", [0, 2 * TOKEN])
def test_what_is_larger_than_the_budget_is_not_kept(budget: int) -> None:
    store = PrefixCache(budget)
    store.insert(cache_of([1, 2, 3]), "a")
    store.insert(cache_of([]), "a")
    assert store.nbytes == 0
    store.pin(cache_of([1, 2, 3]))
    assert holds(store.prefix([1, 2, 3]), [1, 2, 3]), "one prefix always fits"


def test_texts_are_scored_behind_a_copy_that_stays_and_counts() -> None:
    store = PrefixCache(100 * ROOM)
    assert store.prefix([1, 2]) is None
    store.pin(cache_of([1, 2]))
    found = store.prefix([1, 2], room=100)
    assert found is not None
    assert holds(found, [1, 2])
    assert found.capacity == 102
    assert store.prefix([1, 2], room=100) is found
    assert store.nbytes == 2 * TOKEN + found.nbytes
    store.forget(None)
    assert store.prefix([1, 2]) is found
    store.clear()
    assert store.nbytes == 0
    assert store.prefix([1, 2]) is None


def test_of_the_copies_only_the_last_used_stays_where_there_is_no_room() -> None:
    store = PrefixCache(ROOM + 8 * TOKEN)
    for token in (1, 2):
        store.pin(cache_of([token]))
    first = store.prefix([1])
    assert first is not None
    store.prefix([2])
    assert store.nbytes == ROOM + 2 * TOKEN
    again = store.prefix([1])
    assert holds(again, [1])
    assert again is not first


def test_a_prefix_that_can_be_loaded_is_loaded_once() -> None:
    asked: list[list[int]] = []

    def load(tokens: list[int]) -> KVCache | None:
        asked.append(tokens)
        return cache_of(tokens) if tokens == [1, 2] else None

    store = PrefixCache(100 * TOKEN, load)  # type: ignore[arg-type]  # the tests ask with lists
    assert store.holds([1, 2])
    assert store.holds([1, 2])
    assert not store.holds([1, 3])
    assert asked == [[1, 2], [1, 3]]
    assert known(store, [1, 2, 3]) == 2


def test_where_no_memory_is_left_conversations_go_and_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    store = PrefixCache(100 * TOKEN)
    store.pin(cache_of([1]))
    store.insert(cache_of([1, 2]), "a")

    def none_left(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("bot.engine.cache.radix_tree.copy_states", none_left)
        store.insert(cache_of([1, 3]), "b")
    assert store.nbytes == TOKEN
    assert store.holds([1])


TOKENS = st.lists(st.integers(0, 2), min_size=1, max_size=5)
STEPS = st.one_of(
    st.tuples(st.just("insert"), TOKENS, st.sampled_from([None, "a", "b"])),
    st.tuples(st.sampled_from(["pin", "match", "prefix"]), TOKENS, st.none()),
    st.tuples(st.just("forget"), st.just([0]), st.sampled_from([None, "a", "b"])),
)


@given(budget=st.integers(0, 12), steps=st.lists(STEPS, max_size=25))
def test_the_budget_holds_whatever_is_kept(
    budget: int, steps: list[tuple[str, list[int], str | None]]
) -> None:
    store = PrefixCache(budget * TOKEN)
    for step, tokens, session in steps:
        if step == "insert":
            store.insert(cache_of(tokens), session)
        elif step == "pin":
            store.pin(cache_of(tokens))
            assert store.holds(tokens)
        elif step == "match":
            known(store, tokens)
        elif step == "forget":
            store.forget(session)
            assert session is None or session not in store
        elif (found := store.prefix(tokens)) is not None:
            assert holds(found, tokens)
        copies = sum(cache.nbytes for cache in store._prefixes.values())
        over = store.nbytes > store._budget
        assert not over or (len(store._prefixes) <= 1 and store._tree.leaves <= 1)
        assert not over or all(node.role for node in store._tree.nodes)
        assert store.nbytes == copies + sum(node.states.nbytes for node in store._tree.nodes)

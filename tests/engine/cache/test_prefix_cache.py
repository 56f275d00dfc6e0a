"""What is known of a prompt is found by its tokens, within the budget, and roles' prefixes go last."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from states import CONFIG, TOKEN, cache_of, gone_on, holds, states_of

from bot.engine.cache.kv_cache import SEGMENT, KVCache
from bot.engine.cache.prefix_cache import PrefixCache


def known(store: PrefixCache, tokens: list[int]) -> int:
    """How many leading tokens are known, after a look at their states."""
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


def test_what_is_found_and_what_is_kept_is_never_copied() -> None:
    store = PrefixCache(1000 * TOKEN)
    first = gone_on(None, [1, 2, 3])
    store.insert(first)
    (memory,) = {segment.memory for segment in first.segments(0, 3)}
    second = gone_on(store.match([1, 2, 3, 4]), [1, 2, 3, 4])
    store.insert(second)
    assert [segment.memory for segment in second.segments(0, 4)] == [memory], "it goes on in the same memory"
    branch = gone_on(store.match([1, 2, 9]), [1, 2, 9])
    store.insert(branch)
    assert [segment.memory is memory for segment in branch.segments(0, 3)] == [True, False]
    for tokens in ([1, 2, 3, 4], [1, 2, 9]):
        assert known(store, tokens) == len(tokens)
    assert store.nbytes == 2 * SEGMENT * TOKEN, "what they share is counted once"


def test_what_goes_while_a_request_uses_it_stays_until_the_request_ends() -> None:
    store = PrefixCache(SEGMENT * TOKEN)
    store.insert(gone_on(None, [1, 2, 3]))
    running = store.match([1, 2, 3])
    store.insert(gone_on(None, [4, 5]))
    assert known(store, [1, 2, 3]) == 0
    assert store.nbytes == SEGMENT * TOKEN
    assert holds(gone_on(running, [1, 2, 3, *[7] * SEGMENT]), [1, 2, 3, *[7] * SEGMENT])
    store.clear()
    assert store.nbytes == 0
    assert holds(running, [1, 2, 3, *[7] * SEGMENT])


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
    store.insert(KVCache(CONFIG), "a")
    assert store.nbytes == 0
    store.pin(cache_of([1, 2, 3]))
    assert holds(store.prefix([1, 2, 3]), [1, 2, 3]), "one prefix always fits"


def test_texts_are_scored_in_the_room_behind_their_prefix_which_is_there_once() -> None:
    store = PrefixCache(100 * TOKEN)
    assert store.prefix([1, 2]) is None
    store.pin(KVCache.of([1, 2], states_of([1, 2]), room=5))
    for text in ([3, 4, 5, 6, 7], [8], [9] * 70):
        found = store.prefix([1, 2])
        assert holds(found, [1, 2])
        assert holds(gone_on(found, [1, 2, *text]), [1, 2, *text])
        assert found is not None
        assert found.segments(0, 3)[0].end > 2, "where the prefix is"
        found.truncate(2)
    assert store.nbytes == 7 * TOKEN
    store.forget(None)
    assert holds(store.prefix([1, 2]), [1, 2])
    assert store.prefix([1, 2, 3]) is None
    store.clear()
    assert store.nbytes == 0
    assert store.prefix([1, 2]) is None


def test_nothing_of_a_conversation_is_left_behind_its_roles_prefix() -> None:
    store = PrefixCache(1000 * TOKEN)
    prefix = KVCache.of([1, 2, 3], states_of([1, 2, 3]), room=SEGMENT)
    store.pin(prefix)
    store.insert(gone_on(store.match([1, 2, 3, 4, 5]), [1, 2, 3, 4, 5]), "a")
    store.forget("a")
    (segment,) = prefix.segments(0, 3)
    assert segment.memory.used == 3
    text = gone_on(store.prefix([1, 2, 3]), [1, 2, 3, 9])
    assert [each.memory for each in text.segments(0, 4)] == [segment.memory], "the room is for texts to score"


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


TOKENS = st.lists(st.integers(0, 2), min_size=1, max_size=5)
STEPS = st.one_of(
    st.tuples(st.sampled_from(["insert", "go on"]), TOKENS, st.sampled_from([None, "a", "b"])),
    st.tuples(st.sampled_from(["pin", "match", "prefix"]), TOKENS, st.none()),
    st.tuples(st.just("forget"), st.just([0]), st.sampled_from([None, "a", "b"])),
)


@given(budget=st.integers(0, 4 * SEGMENT), steps=st.lists(STEPS, max_size=25))
def test_the_budget_holds_whatever_is_kept(
    budget: int, steps: list[tuple[str, list[int], str | None]]
) -> None:
    store = PrefixCache(budget * TOKEN)
    running: list[tuple[KVCache, list[int]]] = []
    for step, tokens, session in steps:
        if step == "insert":
            store.insert(cache_of(tokens), session)
        elif step == "go on":
            running.append((gone_on(store.match(tokens), tokens), tokens))
            store.insert(running[-1][0], session)
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
        over = store.nbytes > store._budget
        assert not over or store._tree.leaves <= 1
        assert not over or all(node.role for node in store._tree.nodes)
        held = {node.segment.memory for node in store._tree.nodes}
        assert store.nbytes == sum(memory.nbytes for memory in held)
    assert all(holds(cache, tokens) for cache, tokens in running), "whatever was dropped meanwhile"

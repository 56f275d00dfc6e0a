"""The tree holds every sequence once, whole and in order, and knows whose it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from states import TOKEN, cache_of, gone_on, states_of

from bot.engine.cache import radix_tree
from bot.engine.cache.kv_cache import SEGMENT
from bot.engine.cache.radix_tree import RadixTree
from bot.engine.config.arrays import common_prefix


def put(tree: RadixTree, tokens: list[int], session: str | None = None, role: bool = False) -> None:
    """Insert a sequence with its states."""
    tree.insert(cache_of(tokens), session, role)


def known(tree: RadixTree, tokens: list[int]) -> int:
    """How many leading tokens the tree knows, after a look at their states."""
    found = tree.match(tokens)
    pairs = zip(found.nodes, found.lengths, strict=True)
    parts = [node.segment.cut(0, length).states for node, length in pairs]
    if parts:
        assert np.array_equal(np.concatenate(parts, 2), states_of(tokens[: len(found)]))
    return len(found)


def check(tree: RadixTree) -> None:
    """What holds of a tree at any time."""
    nodes = tree.nodes
    assert len(nodes) == len(tree)
    assert tree.nbytes == sum(each.nbytes for each in {node.segment.memory for node in nodes})
    for at, node in enumerate(nodes):
        siblings = tree._top if node.parent is None else node.parent.children
        assert siblings[node.tokens[0]] is node, "each can be reached, by its first token"
        assert len(node.segment) == len(node.tokens) > 0
        assert node.sessions or node.shared or node.role
        if node.parent is not None:
            assert nodes.index(node.parent) > at, "a node is not older than those below it"
            assert node.parent.role or not node.role
            assert node.parent.role or node.parent.shared or node.sessions <= node.parent.sessions
    assert sum(len(node.children) for node in nodes) + len(tree._top) == len(nodes)


def test_what_is_common_is_there_once_and_the_rest_below_it() -> None:
    tree = RadixTree()
    put(tree, [1, 2, 3, 4])
    put(tree, [1, 2, 9])
    put(tree, [1, 2, 3, 4, 5])
    assert sorted(node.tokens for node in tree.nodes) == [[1, 2], [3, 4], [5], [9]]
    assert tree.leaves == 2
    assert known(tree, [1, 2, 3, 4, 5, 6]) == 5
    assert known(tree, [1, 2, 3, 7]) == 3, "also part of a node"
    assert known(tree, [2]) == 0
    check(tree)


def test_the_least_recently_used_leaf_goes_first_and_what_roles_need_stays() -> None:
    tree = RadixTree()
    put(tree, [1, 2], role=True)
    put(tree, [1, 2, 3, 4], "a")
    put(tree, [1, 2, 3, 5], "b")
    known(tree, [1, 2, 3, 4])
    assert tree.evict()
    assert (known(tree, [1, 2, 3, 5]), known(tree, [1, 2, 3, 4])) == (3, 4)
    assert tree.evict()
    assert tree.evict()
    assert known(tree, [1, 2, 3]) == 2
    assert not tree.evict()
    assert tree.evict(roles=True)
    assert len(tree) == tree.nbytes == 0


def test_forgetting_drops_what_nobody_else_put_in() -> None:
    tree = RadixTree()
    put(tree, [1, 2], role=True)
    put(tree, [1, 2, 3, 4], "a")
    put(tree, [1, 2, 3, 5], "b")
    put(tree, [1, 2, 6])
    tree.forget("a")
    assert (known(tree, [1, 2, 3, 4]), known(tree, [1, 2, 3, 5])) == (3, 4)
    tree.forget("b")
    assert (known(tree, [1, 2, 3]), known(tree, [1, 2, 6])) == (2, 3)
    tree.forget(None)
    assert [node.tokens for node in tree.nodes] == [[1, 2]]
    check(tree)


def test_what_very_many_begin_with_is_nobodys_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(radix_tree, "MAX_SESSIONS", 3)
    tree = RadixTree()
    for name in "abcdefg":
        put(tree, [1, 2, ord(name)], name)
    (top,) = tree._top.values()
    assert len(top.sessions) == 3
    assert top.shared
    for name in "abcdefg":
        tree.forget(name)
    assert [node.tokens for node in tree.nodes] == [[1, 2]]


def test_memory_is_counted_as_long_as_any_node_is_in_it() -> None:
    tree = RadixTree()
    put(tree, [1, 2, 3, 4], "a")
    put(tree, [1, 2, 5], "b")
    assert tree.nbytes == (4 + 3) * TOKEN
    tree.forget("a")
    assert known(tree, [1, 2, 3, 4]) == 2
    assert tree.nbytes == (4 + 3) * TOKEN, "the two tokens that are left hold all of it"
    tree.forget("b")
    assert tree.nbytes == 0


def test_a_long_sequence_is_in_memories_that_go_one_by_one() -> None:
    tree = RadixTree()
    tokens = [*range(4 * SEGMENT)]
    tree.insert(gone_on(None, tokens))
    assert known(tree, tokens) == len(tokens)
    for left in (2, 1, 0):
        assert tree.evict()
        assert known(tree, tokens) == left * SEGMENT
        assert tree.nbytes == left * SEGMENT * TOKEN


TOKENS = st.lists(st.integers(0, 2), min_size=1, max_size=6)
STEPS = st.one_of(
    st.tuples(st.just("insert"), TOKENS, st.sampled_from([None, "a", "b", "c"])),
    st.tuples(st.just("role"), TOKENS, st.none()),
    st.tuples(st.just("match"), TOKENS, st.none()),
    st.tuples(st.just("forget"), st.just([0]), st.sampled_from([None, "a", "b", "c"])),
)


@given(steps=st.lists(STEPS, max_size=25))
def test_any_order_of_steps_loses_no_node_and_keeps_none_too_long(
    steps: list[tuple[str, list[int], str | None]],
) -> None:
    tree = RadixTree()
    held: list[tuple[list[int], str | None, bool]] = []  # sequences with whose they are
    for step, tokens, session in steps:
        if step == "forget":
            tree.forget(session)
            held = [(each, whose, role) for each, whose, role in held if role or session not in (None, whose)]
        elif step == "match":
            longest = max((common_prefix(tokens, each) for each, *_ in held), default=0)
            assert known(tree, tokens) == longest
        else:
            put(tree, tokens, session, role=step == "role")
            held.append((tokens, session, step == "role"))
        check(tree)
    prefixes = {tuple(each[:end]) for each, *_ in held for end in range(1, len(each) + 1)}
    assert sum(len(node.tokens) for node in tree.nodes) == len(prefixes), "each once"


@given(sequences=st.lists(TOKENS, min_size=1, max_size=12))
def test_dropping_leaf_by_leaf_ends_with_the_last_that_was_used(sequences: list[list[int]]) -> None:
    tree = RadixTree()
    for tokens in sequences:
        put(tree, tokens)
    while tree.leaves > 1:
        tree.evict()
        check(tree)
        assert known(tree, sequences[-1]) == len(sequences[-1])
    assert tree.nbytes >= TOKEN * len(sequences[-1])

"""A radix tree over token ids: what sequences begin with in common is kept once, whoever put it in.

It knows no budget: `PrefixCache` decides what goes. Used by the engine's thread alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bot.engine.cache.kv_cache import copy_states
from bot.engine.config.arrays import Floats, common_prefix

# Who so many conversations begin alike with has nothing of its own there; and names must not pile up.
MAX_SESSIONS = 1000


@dataclass(eq=False)
class Node:
    """A run of tokens with their keys and values; the tokens before them are those of the nodes above.

    states: float32 [num_layers, 2 * num_kv_heads, len(tokens), head_dim], in memory of its own.
    children: by their first tokens. sessions: the conversations that put it in. shared: somebody without a
        session did. role: a role's prefix needs it. One that is nobody's is not in the tree.
    """

    tokens: list[int]
    states: Floats
    parent: Node | None = None
    children: dict[int, Node] = field(default_factory=dict)
    sessions: set[str] = field(default_factory=set)
    shared: bool = False
    role: bool = False


@dataclass(frozen=True)
class Match:
    """The beginning of a sequence that a tree holds: nodes from the top, and how much of each it is."""

    nodes: list[Node]
    lengths: list[int]

    def __len__(self) -> int:
        return sum(self.lengths)


class RadixTree:
    """Sequences by what they begin with. `nbytes`: memory of all states."""

    def __init__(self) -> None:
        self.nbytes = 0
        self._top: dict[int, Node] = {}
        # The least recently used comes first. A node is touched after all below it that are touched, so
        # that it never comes before one of them: the first is a leaf.
        self._order: OrderedDict[Node, None] = OrderedDict()

    def __len__(self) -> int:
        """How many nodes there are."""
        return len(self._order)

    @property
    def leaves(self) -> int:
        """How many nodes have none below them."""
        return sum(not node.children for node in self._order)

    @property
    def nodes(self) -> list[Node]:
        """All nodes, the least recently used first, each after those below it."""
        return list(self._order)

    def match(self, tokens: Sequence[int]) -> Match:
        """The longest beginning of `tokens` that is here, used just now."""
        found = self._find(list(tokens))
        self._touch(found.nodes)
        return found

    def insert(
        self, tokens: Sequence[int], states: Floats, session: str | None = None, role: bool = False
    ) -> None:
        """Put in what is not here of a sequence, copied, and note whose all of it is.

        states: as in a KVCache of these tokens, and possibly more. Where memory runs out nothing has changed.
        """
        found = self._find(list(tokens))
        path, new = found.nodes, list(tokens[len(found) :])
        leaf = Node(new, copy_states(states, len(found), len(tokens), len(new))) if new else None
        if path and found.lengths[-1] < len(path[-1].tokens):
            path = [*path[:-1], self._split(path[-1], found.lengths[-1])]
        if leaf is not None:
            leaf.parent = path[-1] if path else None
            self._siblings(leaf)[new[0]] = leaf
            self._order[leaf] = None
            self.nbytes += leaf.states.nbytes
            path = [*path, leaf]
        for node in path:
            _mark(node, session, role)
        self._touch(path)

    def evict(self, roles: bool = False) -> bool:
        """Drop the least recently used leaf, one that no role needs (roles: any); False: there is none."""
        for node in self._order:
            if roles or not node.role:
                self._remove(node)
                return True
        return False

    def forget(self, session: str | None) -> None:
        """Drop what only this conversation put in; with None all that no role needs."""
        for node in self.nodes:
            if session is None:
                node.sessions, node.shared = set(), False
            else:
                node.sessions.discard(session)
            if not (node.sessions or node.shared or node.role):
                self._remove(node)

    def clear(self) -> None:
        """Drop everything."""
        self._top.clear()
        self._order.clear()
        self.nbytes = 0

    def _find(self, tokens: list[int]) -> Match:
        nodes: list[Node] = []
        lengths: list[int] = []
        at, children = 0, self._top
        while at < len(tokens) and (node := children.get(tokens[at])) is not None:
            run = tokens[at : at + len(node.tokens)]
            same = len(run) if run == node.tokens else common_prefix(run, node.tokens)
            nodes.append(node)
            lengths.append(same)
            at += same
            children = node.children if same == len(node.tokens) else {}
        return Match(nodes, lengths)

    def _touch(self, path: Sequence[Node]) -> None:
        for node in reversed(path):
            self._order.move_to_end(node)

    def _split(self, lower: Node, length: int) -> Node:
        """A node of the first `length` tokens of `lower`, which keeps the others below it."""
        end = len(lower.tokens)
        first = copy_states(lower.states, 0, length, length)
        rest = copy_states(lower.states, length, end, end - length)
        upper = replace(
            lower, tokens=lower.tokens[:length], states=first, children={}, sessions=set(lower.sessions)
        )
        self._siblings(upper)[upper.tokens[0]] = upper
        lower.tokens, lower.states, lower.parent = lower.tokens[length:], rest, upper
        upper.children[lower.tokens[0]] = lower
        self._order[upper] = None
        return upper

    def _remove(self, leaf: Node) -> None:
        del self._siblings(leaf)[leaf.tokens[0]]
        del self._order[leaf]
        self.nbytes -= leaf.states.nbytes

    def _siblings(self, node: Node) -> dict[int, Node]:
        return self._top if node.parent is None else node.parent.children


def _mark(node: Node, session: str | None, role: bool) -> None:
    if role:
        node.role = True
    elif session is None or len(node.sessions) >= MAX_SESSIONS:
        node.shared = True
    else:
        node.sessions.add(session)

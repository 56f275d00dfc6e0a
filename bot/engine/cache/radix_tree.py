"""A radix tree over token ids: what sequences begin with in common is kept once, whoever put it in.

It knows no budget: `PrefixCache` decides what goes. Used by the engine's thread alone.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bot.engine.cache.kv_cache import KVCache, Memory, Segment
from bot.engine.config.arrays import common_prefix

# Who so many conversations begin alike with has nothing of its own there; and names must not pile up.
MAX_SESSIONS = 1000


@dataclass(eq=False)
class Node:
    """A run of tokens with their keys and values; the tokens before them are those of the nodes above.

    segment: where these are, in memory that nodes beside it and running requests may share.
    children: by their first tokens. sessions: the conversations that put it in. shared: somebody without a
        session did. role: a role's prefix needs it. One that is nobody's is not in the tree.
    """

    tokens: list[int]
    segment: Segment
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

    @property
    def segments(self) -> list[Segment]:
        """Where it is."""
        return [node.segment.cut(0, length) for node, length in zip(self.nodes, self.lengths, strict=True)]


class RadixTree:
    """Sequences by what they begin with."""

    def __init__(self) -> None:
        self._memories: Counter[Memory] = Counter()  # how many nodes hold each
        self._top: dict[int, Node] = {}
        # The least recently used comes first. A node is touched after all below it that are touched, so
        # that it never comes before one of them: the first is a leaf.
        self._order: OrderedDict[Node, None] = OrderedDict()

    def __len__(self) -> int:
        """How many nodes there are."""
        return len(self._order)

    @property
    def nbytes(self) -> int:
        """The memory that nodes hold, all of it, and once what several hold."""
        return sum(memory.nbytes for memory in self._memories)

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
        found = self._find(tokens)
        self._touch(found.nodes)
        return found

    def insert(self, cache: KVCache, session: str | None = None, role: bool = False) -> None:
        """Put in what is not here of a sequence, in the cache's own memory, and note whose all of it is."""
        found = self._find(cache.tokens)
        path, at = found.nodes, len(found)
        if path and found.lengths[-1] < len(path[-1].tokens):
            path = [*path[:-1], self._split(path[-1], found.lengths[-1])]
        for segment in cache.share(at):
            node = Node(cache.tokens[at : at + len(segment)], segment, path[-1] if path else None)
            self._add(node)
            path = [*path, node]
            at += len(segment)
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
        self._memories.clear()

    def _find(self, tokens: Sequence[int]) -> Match:
        nodes: list[Node] = []
        lengths: list[int] = []
        at, children = 0, self._top
        while at < len(tokens) and (node := children.get(tokens[at])) is not None:
            run = list(tokens[at : at + len(node.tokens)])
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
        upper = replace(
            lower,
            tokens=lower.tokens[:length],
            segment=lower.segment.cut(0, length),
            children={},
            sessions=set(lower.sessions),
        )
        lower.tokens, lower.segment = lower.tokens[length:], lower.segment.cut(length, end)
        lower.parent, upper.children[lower.tokens[0]] = upper, lower
        self._add(upper)
        return upper

    def _add(self, node: Node) -> None:
        self._siblings(node)[node.tokens[0]] = node
        self._order[node] = None
        self._memories[node.segment.memory] += 1

    def _remove(self, leaf: Node) -> None:
        del self._siblings(leaf)[leaf.tokens[0]]
        del self._order[leaf]
        memory = leaf.segment.memory
        self._memories[memory] -= 1
        if not self._memories[memory]:
            del self._memories[memory]

    def _siblings(self, node: Node) -> dict[int, Node]:
        return self._top if node.parent is None else node.parent.children


def _mark(node: Node, session: str | None, role: bool) -> None:
    if role:
        node.role = True
    elif session is None or len(node.sessions) >= MAX_SESSIONS:
        node.shared = True
    else:
        node.sessions.add(session)

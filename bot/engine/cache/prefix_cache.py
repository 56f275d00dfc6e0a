"""What is kept of keys and values between requests, by content: any prompt takes up what it begins with.

Used by the engine's thread alone.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence

from bot.engine.cache.kv_cache import KVCache
from bot.engine.cache.radix_tree import RadixTree
from bot.engine.errors import is_out_of_memory

log = logging.getLogger(__name__)


class PrefixCache:
    """Prompts and answers in a radix tree. `budget` in bytes; least recently used leaves go first.

    Roles' prefixes count towards the budget and push all else out, never the other way round; among
    themselves the least recently used goes when they alone are over it, and the last used always stays.
    Texts are scored behind a contiguous copy of a role's prefix, which is kept and counted as well.

    load: makes the cache of a role's prefix that is not here, if it can without the model.
    """

    def __init__(
        self, budget: int, load: Callable[[Sequence[int]], KVCache | None] = lambda tokens: None
    ) -> None:
        self._budget, self._load = budget, load
        self._tree = RadixTree()
        self._prefixes: OrderedDict[tuple[int, ...], KVCache] = OrderedDict()

    @property
    def nbytes(self) -> int:
        """Memory of all that is kept."""
        return self._tree.nbytes + sum(cache.nbytes for cache in self._prefixes.values())

    def __contains__(self, session: str) -> bool:
        """Whether anything is kept that this conversation put in."""
        return any(session in node.sessions for node in self._tree.nodes)

    def match(self, tokens: Sequence[int], room: int = 0) -> KVCache | None:
        """A copy of the longest known beginning of `tokens`, with room for `room` tokens more than these.

        None where nothing is known. Whoever wants the last token's logits leaves that token out.
        """
        found = self._tree.match(tokens)
        if not found:
            return None
        cache = KVCache.of([], found.nodes[0].states, len(tokens) + room)
        for node, length in zip(found.nodes, found.lengths, strict=True):
            cache.append(node.tokens[:length], node.states)
        return cache

    def insert(self, cache: KVCache, session: str | None = None) -> None:
        """Keep a prompt, and what of its answer there is; `session`: whose `forget` takes it out again.

        One that is larger than the budget is not kept, nor is one for which no memory is left.
        """
        if not len(cache) or cache.nbytes // cache.capacity * len(cache) > self._budget:
            return
        try:
            self._tree.insert(cache.tokens, cache.states, session)
        except Exception as problem:
            if not is_out_of_memory(problem):
                raise
            log.warning("memory ran out: what was read is not kept, and what was kept is dropped")
            self.forget(None)
        self._evict()

    def holds(self, prefix: Sequence[int]) -> bool:
        """Whether all of a role's prefix is known, or was loaded now."""
        if tuple(prefix) in self._prefixes or len(self._tree.match(prefix)) == len(prefix):
            return True
        if (loaded := self._load(prefix)) is not None:
            self.pin(loaded)
        return loaded is not None

    def prefix(self, tokens: Sequence[int], room: int = 0) -> KVCache | None:
        """The cache of exactly a role's prefix. The caller may append to it if it truncates it again.

        room: for how many tokens there shall be space, so that nothing is copied when they are appended.
        """
        key = tuple(tokens)
        if key not in self._prefixes and self.holds(tokens) and (made := self.match(tokens, room)):
            self._prefixes[key] = made
            self._evict()
        if key in self._prefixes:
            self._prefixes.move_to_end(key)
        return self._prefixes.get(key)

    def pin(self, cache: KVCache) -> None:
        """Keep `cache` as a prefix that any prompt of a role begins with."""
        self._tree.insert(cache.tokens, cache.states, role=True)
        self._evict()

    def forget(self, session: str | None) -> None:
        """Drop what only one conversation put in, or with None everything but roles' prefixes."""
        self._tree.forget(session)

    def clear(self) -> None:
        """Drop everything."""
        self._tree.clear()
        self._prefixes.clear()

    def _evict(self) -> None:
        while self.nbytes > self._budget and self._tree.evict():
            pass
        while self.nbytes > self._budget and len(self._prefixes) > 1:
            self._prefixes.popitem(last=False)
        while self.nbytes > self._budget and self._tree.leaves > 1:
            self._tree.evict(roles=True)

"""Which KV caches are kept between requests: the roles' prefixes for good, conversations while there is room.

Used by the engine's thread alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from bot.engine.cache.kv_cache import KVCache
from bot.engine.config.arrays import common_prefix

# Room that a cache may keep beyond its tokens; with more it is copied to its size before it is kept.
_SPARE = 64


class PrefixCache:
    """Caches by what they hold. `budget` in bytes; the least recently used conversation goes first.

    Prefixes count towards the budget and push conversations out, never the other way round; among
    themselves the least recently used goes when they alone are over it.

    load: makes the cache of a prefix that is not here, if it can without the model.
    """

    def __init__(
        self, budget: int, load: Callable[[Sequence[int]], KVCache | None] = lambda tokens: None
    ) -> None:
        self._budget, self._load = budget, load
        self._prefixes: OrderedDict[tuple[int, ...], KVCache] = OrderedDict()
        self._sessions: OrderedDict[str, KVCache] = OrderedDict()

    @property
    def nbytes(self) -> int:
        """Memory of all kept caches."""
        return sum(cache.nbytes for cache in (*self._prefixes.values(), *self._sessions.values()))

    def __contains__(self, session: str) -> bool:
        return session in self._sessions

    def prefix(self, tokens: Sequence[int]) -> KVCache | None:
        """The cache of exactly these tokens. The caller may append to it if it truncates it again."""
        key = tuple(tokens)
        if key in self._prefixes:
            self._prefixes.move_to_end(key)
        elif (loaded := self._load(tokens)) is not None:
            self.pin(loaded)
        return self._prefixes.get(key)

    def pin(self, cache: KVCache) -> None:
        """Keep `cache` as a prefix that any prompt may begin with."""
        self._prefixes[tuple(cache.tokens)] = cache
        while len(self._prefixes) > 1 and sum(c.nbytes for c in self._prefixes.values()) > self._budget:
            self._prefixes.popitem(last=False)
        self._evict()

    def unpin(self, tokens: Sequence[int]) -> None:
        """Drop a prefix that cannot be trusted."""
        self._prefixes.pop(tuple(tokens), None)

    def take(self, session: str | None, tokens: Sequence[int], room: int) -> KVCache | None:
        """A conversation's cache, cut to what it has in common with `tokens` and taken out of the store.

        None where nothing is common. The last token is never taken as known: its logits are wanted.
        """
        found = self._sessions.pop(session, None) if session is not None else None
        if found is None:
            return None
        same = common_prefix(found.tokens, tokens[:-1])
        return found.fork(same, room + len(tokens) - same) if same else None

    def keep(self, session: str, cache: KVCache) -> None:
        """Keep a conversation's cache for its next turn, as far as memory allows."""
        self._sessions.pop(session, None)
        if len(cache) == 0 or cache.nbytes // cache.capacity * len(cache) > self._budget:
            return
        spare = cache.capacity - len(cache)
        self._sessions[session] = cache.fork(len(cache)) if spare > _SPARE else cache
        self._evict()

    def forget(self, session: str | None) -> None:
        """Drop one conversation's cache, or with None those of all conversations."""
        if session is None:
            self._sessions.clear()
        else:
            self._sessions.pop(session, None)

    def clear(self) -> None:
        """Drop everything."""
        self._sessions.clear()
        self._prefixes.clear()

    def _evict(self) -> None:
        while self._sessions and self.nbytes > self._budget:
            self._sessions.popitem(last=False)

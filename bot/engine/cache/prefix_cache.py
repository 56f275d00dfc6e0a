"""What is kept of keys and values between requests, by content: any prompt takes up what it begins with.

Used by the engine's thread alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bot.engine.cache.kv_cache import KVCache
from bot.engine.cache.radix_tree import RadixTree


class PrefixCache:
    """Prompts and answers in a radix tree. `budget` in bytes; least recently used leaves go first.

    Roles' prefixes count towards the budget and push all else out, never the other way round; among
    themselves the least recently used goes when they alone are over it, and the last used always stays.
    What goes while a request uses it is no longer counted here, and stays until that request ends.

    load: makes the cache of a role's prefix that is not here, if it can without the model.
    """

    def __init__(
        self, budget: int, load: Callable[[Sequence[int]], KVCache | None] = lambda tokens: None
    ) -> None:
        self._budget, self._load = budget, load
        self._tree = RadixTree()

    @property
    def nbytes(self) -> int:
        """Memory of all that is kept."""
        return self._tree.nbytes

    def __contains__(self, session: str) -> bool:
        """Whether anything is kept that this conversation put in."""
        return any(session in node.sessions for node in self._tree.nodes)

    def match(self, tokens: Sequence[int]) -> KVCache | None:
        """The longest known beginning of `tokens`, shared and not copied; a request may go on behind it.

        None where nothing is known. Whoever wants the last token's logits leaves that token out. The room
        behind a role's prefix stays for texts to score, and nothing of a conversation is written there.
        """
        if not (found := self._tree.match(tokens)):
            return None
        return KVCache.sharing(tokens[: len(found)], found.segments, apart=found.nodes[-1].role)

    def insert(self, cache: KVCache, session: str | None = None) -> None:
        """Keep a prompt, and what of its answer there is; `session`: whose `forget` takes it out again.

        One that is larger than the budget is not kept.
        """
        if 0 < len(cache) * cache.token_bytes <= self._budget:
            self._tree.insert(cache, session)
        self._evict()

    def holds(self, prefix: Sequence[int]) -> bool:
        """Whether all of a role's prefix is known, or was loaded now."""
        if len(self._tree.match(prefix)) == len(prefix):
            return True
        if (loaded := self._load(prefix)) is not None:
            self.pin(loaded)
        return loaded is not None

    def prefix(self, tokens: Sequence[int]) -> KVCache | None:
        """A role's whole prefix, shared; None where it is not known and cannot be loaded."""
        if not self.holds(tokens) or not (found := self._tree.match(tokens)):
            return None
        return KVCache.sharing(tokens, found.segments)

    def pin(self, cache: KVCache) -> None:
        """Keep `cache` as a prefix that any prompt of a role begins with."""
        self._tree.insert(cache, role=True)
        self._evict()

    def forget(self, session: str | None) -> None:
        """Drop what only one conversation put in, or with None everything but roles' prefixes."""
        self._tree.forget(session)

    def clear(self) -> None:
        """Drop everything."""
        self._tree.clear()

    def _evict(self) -> None:
        while self.nbytes > self._budget and self._tree.evict():
            pass
        while self.nbytes > self._budget and self._tree.leaves > 1:
            self._tree.evict(roles=True)

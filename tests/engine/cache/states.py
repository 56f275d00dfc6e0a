"""Keys and values that tell which tokens they are of: what the tests of caches put into them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bot.engine.cache.kv_cache import KVCache
from bot.engine.config.arrays import Floats
from bot.engine.config.model_config import ModelConfig

CONFIG = ModelConfig("qwen2", 8, 1, 2, 1, 4, 8, 99, 1e-6, 100, True, (1.0, 0.1))
TOKEN = 2 * 4 * 4  # bytes of a token's keys and values


def states_of(tokens: Sequence[int]) -> Floats:
    """States of a sequence, each the sum of all tokens up to there: [1, 2, tokens, 4]."""
    sums = np.cumsum(np.array(tokens, np.float32) + 0.5)
    return np.broadcast_to(sums[:, None], (1, 2, len(tokens), 4)).astype(np.float32)


def cache_of(tokens: Sequence[int]) -> KVCache:
    """The cache of a sequence that was computed alone, without room for more."""
    return KVCache.of(tokens, states_of(tokens))


def gone_on(cache: KVCache | None, tokens: Sequence[int]) -> KVCache:
    """What is known of a sequence, and the rest as it is computed behind it."""
    cache = cache or KVCache(CONFIG)
    known = len(cache)
    cache.append(tokens[known:], states_of(tokens)[:, :, known:])
    return cache


def holds(cache: KVCache | None, tokens: Sequence[int]) -> bool:
    """Whether a cache has exactly these tokens, with their states."""
    if cache is None:
        return not tokens
    return cache.tokens == list(tokens) and np.array_equal(cache.gather(), states_of(tokens))

"""The two kinds of passes through the model: scoring labels, and prefill beside decode.

A pass that raises has changed nothing but the capacity of its KV caches. NaN and infinity are reported
for each request; those of one text may have spoiled others that share its KV cache.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bot.engine.cache.kv_cache import KVCache
from bot.engine.config.arrays import Floats
from bot.engine.model.decoder import Chunk, Decoder
from bot.engine.model.token_tree import TokenTree
from bot.engine.scheduling.requests import Prefill, Score, Stream
from bot.engine.text.sampling import sample

# Tokens of one pass; with more, activations leave the processor's cache, and nothing is gained.
SCORE_TOKENS = 128  # of a scoring pass
PREFILL_TOKENS = 128  # of prefills in one pass
SHARED_TOKENS = 128  # of either while answers are decoded, so that nobody waits long
LONG_TOKENS = 32  # of prefills of texts to score beside decode steps, which then have some half of the time
LAST_TOKENS = 64  # of a text too long for one scoring pass: what is left for that pass
# Rows of logits over the whole vocabulary computed at once: 16 of Qwen's are 10 MB.
_HEAD_ROWS = 16


def score(decoder: Decoder, work: Sequence[tuple[Score, KVCache]]) -> list[Score]:
    """Set the scores of requests that agree on `exact`; those whose scores are not finite are returned.

    Each comes with the KV cache of its prompt's beginning, which is as before afterwards. Requests with
    the same cache share one chunk, and their common prefixes are computed once (tree attention).
    """
    trees: dict[int, tuple[KVCache, TokenTree]] = {}
    places: list[
        tuple[int, list[list[int]]]
    ] = []  # of each request: its tree, and nodes before each label token
    for request, cache in work:
        _, tree = trees.setdefault(id(cache), (cache, TokenTree()))
        end = tree.add(request.ids[len(cache) :])
        nodes = []
        for label in request.labels:
            above = [end]
            for token in label[:-1]:
                above.append(tree.add([token], above[-1]))
            nodes.append(above)
        places.append((id(cache), nodes))
    starts = {key: len(cache) for key, (cache, _) in trees.items()}
    chunks = [
        Chunk(tree.tokens, cache)
        if tree.is_single_path
        else Chunk(tree.tokens, cache, depths=tree.depths, mask=tree.mask())
        for cache, tree in trees.values()
    ]
    offsets = dict(zip(trees, _offsets([len(tree) for _, tree in trees.values()]), strict=True))
    rows = [[[offsets[key] + node for node in above] for above in nodes] for key, nodes in places]
    wanted = sorted({row for labels in rows for above in labels for row in above})
    try:
        hidden = decoder.forward(chunks, rows=wanted)
    finally:
        for key, (cache, _) in trees.items():
            cache.truncate(min(starts[key], len(cache)))
    place = {row: at for at, row in enumerate(wanted)}
    return _read_scores(decoder, hidden, [request for request, _ in work], rows, place)


def _read_scores(
    decoder: Decoder,
    hidden: Floats,
    requests: Sequence[Score],
    rows: list[list[list[int]]],
    place: dict[int, int],
) -> list[Score]:
    """rows: for each request, label and label token, what predicts it. place: where that is in `hidden`."""
    tokens = sorted({token for request in requests for label in request.labels for token in label})
    column = {token: at for at, token in enumerate(tokens)}
    logits = decoder.logits(hidden, tokens)
    norms = np.zeros(len(hidden), np.float32)
    # The prompt's last position is common to all labels: comparing them needs no normalization there.
    first = 0 if requests[0].exact else 1
    deep = sorted({place[row] for labels in rows for above in labels for row in above[first:]})
    for some in (deep[at : at + _HEAD_ROWS] for at in range(0, len(deep), _HEAD_ROWS)):
        norms[some] = _log_sum_exp(decoder.logits(hidden[some]))
    table, norm = logits.tolist(), norms.tolist()
    is_finite = [bool(each) for each in _finite(hidden) & _finite(logits) & np.isfinite(norms)]
    broken = []
    for request, labels in zip(requests, rows, strict=True):
        request.scores = [
            sum(table[place[r]][column[t]] - norm[place[r]] for r, t in zip(above, label, strict=True))
            for above, label in zip(labels, request.labels, strict=True)
        ]
        if not all(is_finite[place[row]] for above in labels for row in above):
            broken.append(request)
    return broken


def generate(
    decoder: Decoder, work: Sequence[tuple[Stream | Prefill, int]]
) -> tuple[dict[Stream, int], list[Stream | Prefill]]:
    """A decode step of each answer, and so many more tokens of each prefill, in one pass.

    Returned are the next token of each answer, those included whose prefill is now complete, and what
    is not finite.
    """
    chunks = [_chunk(each, count) for each, count in work]
    starts = [len(chunk.cache) for chunk in chunks]
    try:
        hidden = decoder.forward(chunks, last_only=True)
        is_finite = [bool(each) for each in _finite(hidden)]
        sampled = [(at, each) for at, (each, _) in enumerate(work) if is_finite[at] and _sampled_stream(each)]
        tokens: dict[Stream, int] = {}
        if sampled:
            logits = decoder.logits(hidden[[at for at, _ in sampled]])
            # A sum is finite only where every number of the row is.
            with np.errstate(all="ignore"):
                totals = logits.sum(1).tolist()
            for (at, _), total in zip(sampled, totals, strict=True):
                is_finite[at] = math.isfinite(total)
            good = [row for row, (at, _) in enumerate(sampled) if is_finite[at]]
            streams = [_sampled_stream(sampled[row][1]) for row in good]
            logits = logits if len(good) == len(logits) else logits[good]
            chosen = sample(logits, [stream.sampler for stream in streams if stream])
            tokens = {stream: token for stream, token in zip(streams, chosen, strict=True) if stream}
    except BaseException:
        for chunk, start in zip(chunks, starts, strict=True):
            chunk.cache.truncate(min(start, len(chunk.cache)))
        raise
    return tokens, [each for (each, _), good in zip(work, is_finite, strict=True) if not good]


def _finite(rows: Floats) -> NDArray[np.bool_]:
    """Which rows have neither NaN nor infinity."""
    return np.asarray(np.isfinite(rows).all(1))


def _log_sum_exp(logits: Floats) -> Floats:
    """Of each row, shifted by its maximum so that nothing overflows."""
    with np.errstate(all="ignore"):  # NaN stays NaN
        highest = logits.max(1)
        logits -= highest[:, None]
        found: Floats = np.log(np.exp(logits, out=logits).sum(1)) + highest
    return found


def _chunk(each: Stream | Prefill, count: int) -> Chunk:
    if isinstance(each, Prefill):
        at = len(each.cache)
        return Chunk(list(each.tokens[at : at + count]), each.cache)
    assert each.token is not None
    assert each.cache is not None
    return Chunk([each.token], each.cache)


def _sampled_stream(each: Stream | Prefill) -> Stream | None:
    """The answer whose next token is sampled after this pass, if any."""
    if isinstance(each, Stream):
        return each
    return each.request if isinstance(each.request, Stream) and not each.remaining else None


def _offsets(lengths: Sequence[int]) -> list[int]:
    return [sum(lengths[:at]) for at in range(len(lengths))]

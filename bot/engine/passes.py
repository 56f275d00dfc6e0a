"""The two kinds of passes through the model: scoring labels, and reading prompts while answers are written.

A pass that raises has changed nothing but the room of its caches. Numbers that are none (NaN, infinity)
are told for each request, so that one bad request does not spoil its neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bot.engine.decoder import Chunk, Decoder
from bot.engine.kv_cache import KVCache
from bot.engine.requests import Reading, Score, Stream
from bot.engine.sampling import choose
from bot.engine.tensors import Floats
from bot.engine.token_tree import TokenTree

# Rows of the whole vocabulary computed at once: 16 of Qwen's are 10 MB.
_HEAD_ROWS = 16


def score(decoder: Decoder, work: Sequence[tuple[Score, KVCache]]) -> list[Score]:
    """Set the scores of requests that all are relative or all are not; those without numbers are returned.

    Each comes with the cache of its prompt's beginning, which is as before afterwards. Requests with
    the same cache share one chunk, and their common beginnings are computed once.
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
        if tree.straight
        else Chunk(tree.tokens, cache, depths=tree.depths, visible=tree.visible())
        for cache, tree in trees.values()
    ]
    offsets = dict(zip(trees, _offsets([len(tree) for _, tree in trees.values()]), strict=True))
    rows = [[[offsets[key] + node for node in above] for above in nodes] for key, nodes in places]
    wanted = sorted({row for labels in rows for above in labels for row in above})
    try:
        hidden = decoder.forward(chunks, exact=not work[0][0].relative, rows=wanted)
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
    # The end of the prompt is common to all labels: comparing them needs no normalising there.
    first = 1 if requests[0].relative else 0
    deep = sorted({place[row] for labels in rows for above in labels for row in above[first:]})
    for some in (deep[at : at + _HEAD_ROWS] for at in range(0, len(deep), _HEAD_ROWS)):
        norms[some] = _log_sum_exp(decoder.logits(hidden[some]))
    table, norm = logits.tolist(), norms.tolist()
    sound = [bool(each) for each in _finite(hidden) & _finite(logits) & np.isfinite(norms)]
    broken = []
    for request, labels in zip(requests, rows, strict=True):
        request.scores = [
            sum(table[place[r]][column[t]] - norm[place[r]] for r, t in zip(above, label, strict=True))
            for above, label in zip(labels, request.labels, strict=True)
        ]
        if not all(sound[place[row]] for above in labels for row in above):
            broken.append(request)
    return broken


def write(
    decoder: Decoder, work: Sequence[tuple[Stream | Reading, int]]
) -> tuple[dict[Stream, int], list[Stream | Reading]]:
    """One more token of each stream's answer, and so many more tokens of each reading, in one pass.

    The answer has the next token of each stream, those included whose prompt is now read to its end,
    and whatever has no numbers.
    """
    chunks = [_chunk(each, count) for each, count in work]
    starts = [len(chunk.cache) for chunk in chunks]
    try:
        hidden = decoder.forward(chunks, last_only=True)
        sound = [bool(each) for each in _finite(hidden)]
        speaking = [(at, each) for at, (each, _) in enumerate(work) if sound[at] and _speaker(each)]
        tokens: dict[Stream, int] = {}
        if speaking:
            logits = decoder.logits(hidden[[at for at, _ in speaking]])
            # A sum shows what is not a number with one look at each row.
            with np.errstate(all="ignore"):
                totals = logits.sum(1).tolist()
            for (at, _), total in zip(speaking, totals, strict=True):
                sound[at] = math.isfinite(total)
            good = [row for row, (at, _) in enumerate(speaking) if sound[at]]
            streams = [_speaker(speaking[row][1]) for row in good]
            logits = logits if len(good) == len(logits) else logits[good]
            chosen = choose(logits, [stream.sampler for stream in streams if stream])
            tokens = {stream: token for stream, token in zip(streams, chosen, strict=True) if stream}
    except BaseException:
        for chunk, start in zip(chunks, starts, strict=True):
            chunk.cache.truncate(min(start, len(chunk.cache)))
        raise
    return tokens, [each for (each, _), good in zip(work, sound, strict=True) if not good]


def _finite(rows: Floats) -> NDArray[np.bool_]:
    """Which rows have numbers only."""
    return np.asarray(np.isfinite(rows).all(1))


def _log_sum_exp(logits: Floats) -> Floats:
    """Of each row, without a number above what float32 holds."""
    with np.errstate(all="ignore"):  # what is no number stays none
        highest = logits.max(1)
        logits -= highest[:, None]
        found: Floats = np.log(np.exp(logits, out=logits).sum(1)) + highest
    return found


def _chunk(each: Stream | Reading, count: int) -> Chunk:
    if isinstance(each, Reading):
        at = len(each.cache)
        return Chunk(list(each.tokens[at : at + count]), each.cache)
    assert each.token is not None
    assert each.cache is not None
    return Chunk([each.token], each.cache)


def _speaker(each: Stream | Reading) -> Stream | None:
    """The stream whose next token is wanted after this pass, if any."""
    if isinstance(each, Stream):
        return each
    return each.by if isinstance(each.by, Stream) and not each.left else None


def _offsets(lengths: Sequence[int]) -> list[int]:
    return [sum(lengths[:at]) for at in range(len(lengths))]

"""What the engine has to do, and what of it goes into the next pass. Used by the engine's thread alone."""

from __future__ import annotations

from collections.abc import Iterator

from bot.engine.decoder import Decoder
from bot.engine.kv_cache import KVCache
from bot.engine.prefix_store import PrefixStore
from bot.engine.requests import Reading, Request, Score, Stream

SCORE_TOKENS = 128  # in one scoring pass; more are no faster, for their activations leave the cache
READ_TOKENS = 128  # of prompts in one pass
SHARED_TOKENS = 128  # either of them while answers are written, so that nobody waits long
LAST_TOKENS = 64  # of a text too long for one scoring pass: what is left for that pass
MAX_STREAMS = 8  # answers in work at once
ANSWER_ROOM = 256  # tokens that a cache has room for at first beyond its prompt


class Workload:
    """Requests by where they stand: waiting, being read, being written.

    running_bytes: memory that the caches of answers in work may take; one answer always fits.
    """

    def __init__(self, decoder: Decoder, store: PrefixStore, running_bytes: int) -> None:
        self._decoder, self._store = decoder, store
        empty = decoder.new_cache()
        self._streams_tokens = running_bytes * empty.capacity // empty.nbytes
        self.scores: list[Score] = []
        self.waiting: list[Stream] = []
        self.readings: list[Reading] = []
        self.streams: list[Stream] = []

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.scores or self.waiting or self.readings or self.streams)

    @property
    def writing(self) -> bool:
        """Whether there is anything to do but scoring."""
        return bool(self.readings or self.streams)

    @property
    def busy(self) -> int:
        """How many answers are in work."""
        return len(self.streams) + sum(isinstance(reading.by, Stream) for reading in self.readings)

    def requests(self) -> Iterator[Request]:
        """Everybody who waits for an answer."""
        yield from self.scores
        yield from self.waiting
        yield from self.streams
        for reading in self.readings:
            if isinstance(reading.by, Stream):  # a score that is being read is also among the scores
                yield reading.by

    def clear(self) -> None:
        """Drop everything."""
        for each in (self.scores, self.waiting, self.readings, self.streams):
            each.clear()

    def add(self, request: Request) -> None:
        """Take up a request."""
        if isinstance(request, Score):
            self.scores.append(request)
        elif isinstance(request, Stream):
            self.waiting.append(request)

    def remove(self, request: Request) -> None:
        """Take a request out, keeping its conversation's cache. Nothing happens if it is not there."""
        self.drop(request)
        if isinstance(request, Stream) and request.session is not None and request.cache is not None:
            self._store.keep(request.session, request.cache)
            request.cache = None

    def drop(self, request: Request) -> None:
        """Take a request out, and its cache with it."""
        for some in (self.scores, self.waiting, self.streams):
            if request in some:
                some.remove(request)  # type: ignore[arg-type]  # it is in there
        self.readings = [reading for reading in self.readings if reading.by is not request]

    def drop_cancelled(self) -> None:
        """Take out who does not wait any more."""
        for request in [each for each in self.requests() if each.cancelled]:
            self.remove(request)

    def forget(self, session: str | None) -> None:
        """Keep nothing of a conversation (None: of any), what is in work included."""
        self._store.forget(session)
        for request in self.requests():
            if isinstance(request, Stream) and session in (None, request.session):
                request.session = None

    def admit(self) -> None:
        """Begin to read what can be begun: missing prefixes, long texts, the prompts that have room."""
        for score in self.scores:
            base = self._base(score)
            if base is not None and score.own is None and score.cost(len(base)) > SCORE_TOKENS:
                score.own = base.fork(len(base), room=len(score.ids))
                self.readings.append(Reading(score.ids[:-LAST_TOKENS], score.own, score))
        for stream in list(self.waiting):
            if not self._has_room(stream):
                return
            base = self._base(stream)
            if base is None:
                continue
            room = min(stream.limit, ANSWER_ROOM)
            cache = self._store.take(stream.session, stream.ids, room)
            if cache is None or len(cache) < len(base):
                cache = base.fork(len(base), room=len(stream.ids) - len(base) + room)
            stream.cache = cache
            self.waiting.remove(stream)
            self.readings.append(Reading(stream.ids, cache, stream))

    def next_scores(self) -> list[tuple[Score, KVCache]]:
        """The texts for one scoring pass, the oldest first, each with its prompt's cached beginning."""
        budget = SHARED_TOKENS if self.writing else SCORE_TOKENS
        found: list[tuple[Score, KVCache]] = []
        for score in self.scores:
            base = score.own or self._base(score)
            if base is None or any(reading.by is score for reading in self.readings):
                continue
            if found and score.relative != found[0][0].relative:
                continue
            budget -= score.cost(len(base))
            if found and budget < 0:
                break
            found.append((score, base))
        return found

    def next_writing(self) -> list[tuple[Stream | Reading, int]]:
        """The next token of every answer, and what is read beside it with how many tokens of each.

        Scores are read before answers, the oldest first.
        """
        order = sorted(self.readings, key=lambda reading: isinstance(reading.by, Stream))
        budget = SHARED_TOKENS if self.streams or len(order) > 1 else READ_TOKENS
        found: list[tuple[Stream | Reading, int]] = [(stream, 1) for stream in self.streams]
        for reading in order:
            count = min(reading.left, budget)
            if count:
                found.append((reading, count))
                budget -= count
        return found

    def finish_reading(self, reading: Reading) -> None:
        """A reading is at its end: a prefix is pinned from now on, a prompt's answer begins."""
        self.readings.remove(reading)
        if reading.by is None:
            self._store.pin(reading.cache)
        elif isinstance(reading.by, Stream):
            self.streams.append(reading.by)

    def _base(self, request: Request) -> KVCache | None:
        """The cache of the request's prefix; where there is none it is begun to be read."""
        if not request.shared:
            return self._decoder.new_cache()
        found = self._store.prefix(request.prefix)
        if found is None and not any(r.by is None and r.tokens == request.prefix for r in self.readings):
            # Texts are scored in the prefix's own cache, behind its tokens.
            cache = self._decoder.new_cache(room=request.shared + SCORE_TOKENS)
            self.readings.append(Reading(request.prefix, cache))
        return found

    def _has_room(self, stream: Stream) -> bool:
        busy = [*self.streams, *(r.by for r in self.readings if isinstance(r.by, Stream))]
        expected = sum(len(each.ids) + each.limit // 2 for each in (*busy, stream))
        return not busy or (len(busy) < MAX_STREAMS and expected <= self._streams_tokens)

"""What the engine has to do, and what of it goes into the next pass. Used by the engine's thread alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bot.engine.cache.kv_cache import SEGMENT, KVCache
from bot.engine.cache.prefix_cache import PrefixCache
from bot.engine.config.arrays import common_prefix
from bot.engine.model.decoder import Decoder
from bot.engine.scheduling.passes import LAST_TOKENS, LONG_TOKENS, PREFILL_TOKENS, SCORE_TOKENS, SHARED_TOKENS
from bot.engine.scheduling.requests import Prefill, Request, Score, Stream

# What texts are scored behind, by their roles' prefixes; None for one that is still computed.
Bases = dict[tuple[int, ...], KVCache | None]


class Workload:
    """Requests by their state: waiting, in prefill, being decoded; and labels to score.

    max_streams: how many answers are generated at once. running_bytes: memory that their KV caches may
        take; one answer always fits.
    """

    def __init__(self, decoder: Decoder, prefixes: PrefixCache, max_streams: int, running_bytes: int) -> None:
        self._decoder, self._prefixes, self._max_streams = decoder, prefixes, max_streams
        self._max_running_tokens = running_bytes // decoder.new_cache().token_bytes
        self.scores: list[Score] = []
        self.waiting: list[Stream] = []
        self.prefills: list[Prefill] = []
        self.streams: list[Stream] = []

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.scores or self.waiting or self.prefills or self.streams)

    @property
    def has_generation(self) -> bool:
        """Whether there are passes to do beside scoring."""
        return bool(self.prefills or self.streams)

    @property
    def running(self) -> int:
        """How many answers are being generated."""
        return len(self.streams) + sum(isinstance(prefill.request, Stream) for prefill in self.prefills)

    def requests(self) -> Iterator[Request]:
        """Everybody who waits for an answer."""
        yield from self.scores
        yield from self.waiting
        yield from self.streams
        for prefill in self.prefills:
            if isinstance(prefill.request, Stream):  # a score in prefill is also among the scores
                yield prefill.request

    def clear(self) -> None:
        """Drop everything."""
        for each in (self.scores, self.waiting, self.prefills, self.streams):
            each.clear()

    def add(self, request: Request) -> None:
        """Take up a request."""
        if isinstance(request, Score):
            self.scores.append(request)
        elif isinstance(request, Stream):
            self.waiting.append(request)

    def remove(self, request: Request) -> None:
        """Take a request out, keeping what of prompt and answer is computed."""
        self.drop(request)
        if isinstance(request, Stream):
            self._keep(request)
            request.cache = None

    def drop(self, request: Request) -> None:
        """Take a request out, and its cache with it."""
        if isinstance(request, Score) and request.own_cache is not None:
            request.own_cache.truncate(0)  # the room behind the role's prefix is the next text's
        self.scores = [each for each in self.scores if each is not request]
        self.waiting = [each for each in self.waiting if each is not request]
        self.streams = [each for each in self.streams if each is not request]
        self.prefills = [prefill for prefill in self.prefills if prefill.request is not request]

    def drop_cancelled(self) -> None:
        """Take out who does not wait any more."""
        for request in [each for each in self.requests() if each.cancelled]:
            self.remove(request)

    def forget(self, session: str | None) -> None:
        """Keep nothing of a conversation (None: of any), running answers included."""
        self._prefixes.forget(session)
        for request in self.requests():
            if isinstance(request, Stream) and session in (None, request.session):
                request.keep = False

    def admit(self) -> None:
        """Begin the prefills that can be begun: missing prefixes, long texts, the prompts that have room.

        Of long texts there are no more at once than of answers, since each has a KV cache of its own.
        """
        places = self._max_streams - sum(isinstance(prefill.request, Score) for prefill in self.prefills)
        bases: Bases = {}
        for score in self.scores:
            base = self._base(score, bases)
            if places > 0 and base is not None and self._is_long(score, base):
                places -= 1
                score.own_cache = base.fork(len(base))
                self.prefills.append(Prefill(score.ids[:-LAST_TOKENS], score.own_cache, score))
        for stream in list(self.waiting):
            if not self._has_room(stream):
                return
            if stream.shared and not self._prefixes.holds(stream.prefix):
                self._begin_prefix(stream.prefix)
                continue
            # The last token's logits are wanted, so it is computed in any case.
            stream.cache = self._prefixes.match(stream.ids[:-1]) or self._decoder.new_cache()
            self.waiting.remove(stream)
            self.prefills.append(Prefill(stream.ids, stream.cache, stream))

    def next_scores(self) -> list[tuple[Score, KVCache]]:
        """The texts for one scoring pass, the oldest first, each with its prompt's cached beginning."""
        budget = SHARED_TOKENS if self.has_generation else SCORE_TOKENS
        found: list[tuple[Score, KVCache]] = []
        bases: Bases = {}
        for score in self.scores:
            base = score.own_cache or self._base(score, bases)
            if base is None or self._is_long(score, base):
                continue
            if any(prefill.request is score for prefill in self.prefills):
                continue
            if found and score.exact != found[0][0].exact:
                continue
            # What it shares with another text of the pass is computed once.
            shared = (common_prefix(score.ids, other.ids) for other, same in found if same is base)
            budget -= score.cost(max([len(base), *shared]))
            if found and budget < 0:
                break
            found.append((score, base))
        return found

    def next_generation(self) -> list[tuple[Stream | Prefill, int]]:
        """One decode step of every answer, and the prefills beside it with how many tokens of each.

        Where both wait, prefills of scores have half of the pass, but not more than LONG_TOKENS beside decode
        steps, and those of answers and prefixes the other; each has what the other leaves. A half is shared
        alike, so that a short prompt is soon complete beside a long one, and a long one goes on beside many.
        """
        budget = SHARED_TOKENS if self.streams or len(self.prefills) > 1 else PREFILL_TOKENS
        long = [prefill for prefill in self.prefills if isinstance(prefill.request, Score)]
        others = [prefill for prefill in self.prefills if not isinstance(prefill.request, Score)]
        remaining = [[prefill.remaining for prefill in some] for some in (long, others)]
        most = [LONG_TOKENS if self.streams else budget, budget]
        sums = [min(sum(some), each) for some, each in zip(remaining, most, strict=True)]
        halves = fair_shares(sums, budget)
        found: list[tuple[Stream | Prefill, int]] = [(stream, 1) for stream in self.streams]
        for some, wanted, half in zip((long, others), remaining, halves, strict=True):
            counts = fair_shares(wanted, half)
            found += [(prefill, count) for prefill, count in zip(some, counts, strict=True) if count]
        return found

    def finish_prefill(self, prefill: Prefill) -> None:
        """A prefill is complete: a prefix is pinned from now on, a prompt is kept and its answer decoded."""
        self.prefills.remove(prefill)
        if prefill.request is None:
            self._prefixes.pin(prefill.cache)
        elif isinstance(prefill.request, Stream):
            self.streams.append(prefill.request)
            self._keep(prefill.request)

    def _keep(self, stream: Stream) -> None:
        if stream.keep and stream.cache is not None:
            self._prefixes.insert(stream.cache, stream.session)

    def _base(self, score: Score, bases: Bases) -> KVCache | None:
        """The KV cache that a text is scored behind, one for all of a role. bases: those found so far."""
        if not score.shared:
            return self._decoder.new_cache()
        prefix = tuple(score.prefix)
        if prefix not in bases:
            bases[prefix] = self._prefixes.prefix(score.prefix)
            if bases[prefix] is None:
                self._begin_prefix(score.prefix)
        return bases[prefix]

    def _is_long(self, score: Score, base: KVCache) -> bool:
        """Whether a text needs a prefill before it fits a scoring pass."""
        fits = score.cost(len(base)) <= SCORE_TOKENS or len(score.ids) - LAST_TOKENS <= len(base)
        return score.own_cache is None and not fits

    def _begin_prefix(self, tokens: list[int]) -> None:
        """Begin the prefill of a role's prefix, once."""
        if not any(each.request is None and each.tokens == tokens for each in self.prefills):
            # Texts are scored in the room behind it, whose pages are then there already.
            cache = self._decoder.new_cache(room=len(tokens) + SEGMENT)
            self.prefills.append(Prefill(tokens, cache))

    def _has_room(self, stream: Stream) -> bool:
        running = [*self.streams, *(r.request for r in self.prefills if isinstance(r.request, Stream))]
        expected = sum(len(each.ids) + each.max_tokens // 2 for each in (*running, stream))
        return not running or (len(running) < self._max_streams and expected <= self._max_running_tokens)


def fair_shares(wanted: Sequence[int], budget: int) -> list[int]:
    """Parts of `budget`: nobody has more than is wanted, and nobody less than an equal part unless so."""
    shares = [0] * len(wanted)
    for place, at in enumerate(sorted(range(len(wanted)), key=wanted.__getitem__)):
        shares[at] = min(wanted[at], budget // (len(wanted) - place))
        budget -= shares[at]
    return shares

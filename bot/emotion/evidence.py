"""Which words were decisive: leave a span out, score the text without it, and see how far the label's
probability falls (occlusion)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from bot.emotion.results import Evidence
from bot.emotion.spans import Span, chunks, clauses, normalize_text, windows, without_references

MAX_REASON = 4350  # characters scored for a reason at most, beside the piece in which its passage is found
MAX_PASSAGES = 8  # that the one is chosen from
MAX_CLAUSES = 12  # spans tried at first, in one batch
MAX_WINDOWS = 16  # spans tried within the strongest clause, in a second batch
# Characters; of a longer text one passage is searched. It is scored whole, and without each of the spans.
PASSAGE_SIZE = MAX_REASON // (1 + MAX_CLAUSES + MAX_WINDOWS)
SHORT_CLAUSE = 4  # characters; a clause as short as this is named whole
WINDOW_SHARE = 0.6  # of a clause's weight that a window in it must have to be named in its place
MIN_WEIGHT = 0.005  # below this a span is no evidence

Probability = Callable[[Sequence[str]], Awaitable[list[float]]]


async def find_passage(text: str, span: Span, probability: Probability) -> Span:
    """The passage within a span of `text` that speaks most for the label; a short span whole.

    Where most of the text says nothing (blanks, repetitions) it is found in several steps.
    """
    start, end = span
    while min(end - start, len(normalize_text(text[start:end]))) > PASSAGE_SIZE:
        # A cut may come after half of the size.
        size = max(PASSAGE_SIZE, (end - start) // (MAX_PASSAGES // 2))
        passages = chunks(text[:end], size, start)
        shares = await probability([text[first:last] for first, last in passages])
        start, end = passages[max(range(len(passages)), key=shares.__getitem__)]
    return start, end


async def find_evidence(text: str, passage: Span, probability: Probability) -> tuple[Evidence, ...]:
    """The spans of a passage of `text` that speak for its label, the strongest first; none overlap.

    probability: the label's probability for each of several texts.
    """
    offset, end = passage
    # A part of an address would be read as a word: they are blanked first, which keeps the offsets.
    found = await _weighed(without_references(text)[offset:end], probability)
    evidence = [
        Evidence(text[offset + start : offset + end], offset + start, offset + end, weight)
        for (start, end), weight in found.items()
        if weight >= MIN_WEIGHT
    ]
    return tuple(sorted(evidence, key=lambda each: (-each.weight, each.start)))


async def _weighed(text: str, probability: Probability) -> dict[Span, float]:
    """Spans of `text` that do not overlap, each with its weight."""
    spans = clauses(text, MAX_CLAUSES) or [(0, len(text))]
    parts = windows(text, spans[0], MAX_WINDOWS) if len(spans) == 1 else []
    whole, *without = await probability([text, *_occluded(text, [*spans, *parts])])
    weights = {span: whole - rest for span, rest in zip([*spans, *parts], without, strict=True)}
    strongest = max(spans, key=lambda span: weights[span])
    if len(spans) > 1 and strongest[1] - strongest[0] > SHORT_CLAUSE:
        parts = windows(text, strongest, MAX_WINDOWS)
        without = await probability(_occluded(text, parts))
        weights |= {span: whole - rest for span, rest in zip(parts, without, strict=True)}
    if parts:
        window = max(parts, key=lambda span: weights[span])
        enough = max(WINDOW_SHARE * weights[strongest], MIN_WEIGHT)
        if strongest == (0, len(text)) or weights[window] >= enough:
            spans = [window if span == strongest else span for span in spans]
    return {span: weights[span] for span in spans}


def _occluded(text: str, spans: Sequence[Span]) -> list[str]:
    """`text` without each of the spans."""
    return [text[:start] + text[end:] for start, end in spans]

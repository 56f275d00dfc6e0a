"""Which words decided: leave a span out, score the rest, and see how far the label's probability falls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from bot.emotion.pieces import Span, clauses, is_chinese, windows
from bot.emotion.results import Emotion, Evidence, Explanation
from bot.roles import Role

CLAUSES = 12  # spans tried at first, in one batch
WINDOWS = 16  # spans tried within the clause that decides, in a second batch
SHORT = 4  # characters; a clause this short is named whole
SHARE = 0.6  # of a clause's weight that a part of it must have to be named in its place
NAMED = 3  # spans in the sentence
LEAST = 0.005  # weight below which a span decided nothing

Probability = Callable[[Sequence[str]], Awaitable[list[float]]]


async def find_evidence(text: str, probability: Probability) -> tuple[Evidence, ...]:
    """The spans of `text` that speak for its label, the strongest first; none overlap.

    probability: the label's probability for each of several texts.
    """
    spans = clauses(text, CLAUSES) or [(0, len(text))]
    parts = windows(text, spans[0], WINDOWS) if len(spans) == 1 else []
    full, *rests = await probability([text, *_rests(text, [*spans, *parts])])
    weights = {span: full - rest for span, rest in zip([*spans, *parts], rests, strict=True)}
    top = max(spans, key=lambda span: weights[span])
    if len(spans) > 1 and top[1] - top[0] > SHORT:
        parts = windows(text, top, WINDOWS)
        rests = await probability(_rests(text, parts))
        weights |= {span: full - rest for span, rest in zip(parts, rests, strict=True)}
    if parts:
        tight = max(parts, key=lambda span: weights[span])
        if top == (0, len(text)) or weights[tight] >= max(SHARE * weights[top], LEAST):
            spans = [tight if span == top else span for span in spans]
    found = [Evidence(text[start:end], start, end, weights[start, end]) for start, end in spans]
    found.sort(key=lambda each: (-each.weight, each.start))
    return tuple(each for each in found if each.weight >= LEAST)


def explanation(role: Role, text: str, emotion: Emotion, found: tuple[Evidence, ...]) -> Explanation:
    """The sentence that names the spans, in Chinese for Chinese text, else in English."""
    if is_chinese(text):
        told = "、".join(f"“{each.text}”（{each.weight:.2f}）" for each in found[:NAMED])
        why = f"，因句中{told}" if told else "，整句如此，没有单独起决定作用的词"
        return Explanation(found, f"判断为“{emotion.label}”{why}。")
    name = next((label.english for label in role.labels if label.name == emotion.label), "")
    called = f"{name} ({emotion.label})" if name else emotion.label
    told = ", ".join(f"“{each.text}” ({each.weight:.2f})" for each in found[:NAMED])
    why = f"because of {told}" if told else "from the whole; no part of it decided alone"
    return Explanation(found, f"Judged {called} {why}.")


def _rests(text: str, spans: Sequence[Span]) -> list[str]:
    """`text` without each of the spans."""
    return [text[:start] + text[end:] for start, end in spans]

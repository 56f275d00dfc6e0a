"""Which label an answer means, from its first token's alternatives or from its text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# A label that is not among the alternatives is less likely than the least of them, by an unknown amount.
BELOW = 1.0


def best_token(top: Mapping[bytes, float], labels: Sequence[str]) -> dict[str, list[int]]:
    """For each token that begins a label, the labels (by index) whose likeliest beginning it is."""
    found: dict[str, list[int]] = {}
    for at, label in enumerate(labels):
        fits = [token for token in top if token and label.encode().startswith(token)]
        if fits:
            # Half a character cannot be an answer's beginning in a next request.
            best = max(fits, key=lambda token: top[token]).decode("utf-8", "ignore")
            if best and best != label:
                found.setdefault(best, []).append(at)
    return found


def compare(top: Mapping[bytes, float], labels: Sequence[str]) -> list[float] | None:
    """Each label's log-probability by its likeliest first token; None when no label is among them."""
    least = min(top.values())
    scores, found_any = [], False
    for label in labels:
        fits = [value for token, value in top.items() if token and label.encode().startswith(token)]
        found_any = found_any or bool(fits)
        scores.append(max(fits) if fits else least - BELOW)
    return scores if found_any else None


def answered_label(text: str, labels: Sequence[str]) -> str | None:
    """The label that stands first in an answer, the longest where several begin there."""
    lowered = text.lower()
    places = [(lowered.find(label.lower()), -len(label), label) for label in labels]
    found = [place for place in places if place[0] >= 0]
    return min(found)[2] if found else None

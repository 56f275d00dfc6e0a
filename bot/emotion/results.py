"""What a classification gives: a label with its confidence, and the spans that decided."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

DIGITS = 4  # of a probability or weight, wherever it leaves the program as data


class EmptyText(ValueError):
    """There is nothing to classify; the message says the mend."""

    def __init__(self) -> None:
        super().__init__("there is no text to classify: write a sentence, for example 今天太棒了！")


@dataclass(frozen=True)
class Emotion:
    """One judgement. `scores` are the labels' probabilities and sum to 1; `confidence` is the winner's."""

    label: str
    emoji: str
    confidence: float
    scores: dict[str, float]

    def data(self) -> dict[str, Any]:
        """`label`, `confidence` and `scores`, rounded for JSON and CSV."""
        return {
            "label": self.label,
            "confidence": round(self.confidence, DIGITS),
            "scores": {name: round(share, DIGITS) for name, share in self.scores.items()},
        }


@dataclass(frozen=True)
class Evidence:
    """A span of the original text, `text == original[start:end]`, and how much it speaks for the label.

    weight: by how much the label's probability falls without the span, from -1 to 1.
    """

    text: str
    start: int
    end: int
    weight: float


@dataclass(frozen=True)
class Explanation:
    """Why: the spans that decided, the strongest first, and a sentence that names them."""

    evidence: tuple[Evidence, ...]
    text: str

    def data(self) -> dict[str, Any]:
        """`evidence` and `explanation`, rounded for JSON."""
        spans = [{**asdict(each), "weight": round(each.weight, DIGITS)} for each in self.evidence]
        return {"evidence": spans, "explanation": self.text}

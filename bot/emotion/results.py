"""What a classification gives: a label with its confidence, and the spans that were decisive."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bot.emotion.spans import Span
from bot.roles import Label

DIGITS = 4  # of a probability or weight, wherever it leaves the program as data


class EmptyText(ValueError):
    """There is nothing to classify; the message says the mend."""

    def __init__(self) -> None:
        super().__init__("there is no text to classify: write a sentence, for example 今天太棒了！")


@dataclass(frozen=True)
class Emotion:
    """One classified text. `scores` are the labels' probabilities and sum to 1.

    confidence: the probability of `label`. sign: that of the label, 1 for positive, -1 for negative, else 0.
    english: the label in English, "" where its role names none.
    omitted: characters in the middle of a very long text that were not read.
    decisive: the part of a long text that speaks most for the label; None: all of it.
    """

    label: str
    emoji: str
    confidence: float
    scores: dict[str, float]
    sign: int
    english: str = ""
    omitted: int = 0
    decisive: Span | None = None

    def data(self) -> dict[str, Any]:
        """`label`, `confidence` and `scores`, rounded for JSON and CSV, and `omitted`."""
        return {
            "label": self.label,
            "confidence": round(self.confidence, DIGITS),
            "scores": {name: round(share, DIGITS) for name, share in self.scores.items()},
            "omitted": self.omitted,
        }


@dataclass(frozen=True)
class Evidence:
    """A span of the original text, `text == original[start:end]`, and how much it speaks for the label.

    weight: by how much the label's probability falls without the span, from -1 to 1; in a text that is
        longer than a passage, the probability for the passage in which the span stands.
    """

    text: str
    start: int
    end: int
    weight: float


@dataclass(frozen=True)
class Explanation:
    """Why a text got `label`: the spans that were decisive, the strongest first.

    chinese: whether the text is Chinese, and so the sentence that `sentences.explanation_text` makes of this.
    """

    evidence: tuple[Evidence, ...]
    label: Label
    chinese: bool

    def data(self) -> list[dict[str, Any]]:
        """The evidence, rounded for JSON."""
        return [{**asdict(each), "weight": round(each.weight, DIGITS)} for each in self.evidence]

"""Classifying for Slack: the line, the confidence, and on request the words that decided."""

from __future__ import annotations

from dataclasses import dataclass

from bot.emotion import Emotion, EmptyText
from handlers.context import Slack
from handlers.language import Words
from handlers.manners import escape

FEELINGS = "feelings"
MOST_WORDS = 3


@dataclass(frozen=True)
class Classified:
    """A classified text, ready to be shown."""

    text: str
    emotion: Emotion
    line: str
    confidence: float
    role: str

    async def why(self, slack: Slack, words: Words) -> str:
        """The words that decided, in bold, each with its weight; "" where none stands out."""
        found = await slack.services.emotions.explain(self.text, self.emotion, role=self.role)
        spans = [
            f"*{escape(span.text)}* ({span.weight:+.2f})"
            for span in found.evidence[:MOST_WORDS]
            if span.text.strip() and span.weight > 0
        ]
        return words("because", words=", ".join(spans)) if spans else ""


async def classify(
    slack: Slack, words: Words, text: str, user: str, role: str = "emotion"
) -> Classified | None:
    """How `text` sounds, by `user`'s own settings; None for a text with nothing to classify."""
    settings = await slack.services.storage.settings(user)
    emotions = slack.services.emotions
    try:
        emotion = await emotions.classify(text, strict=settings.neutral is False)
        line = emotions.line(emotion)
        if role != "emotion":
            finer = await emotions.classify(text, role=role)
            line += f"\n{finer.emoji} {words('feelings_title')}: {finer.label} ({finer.confidence:.0%})"
    except EmptyText:
        return None
    return Classified(text, emotion, line, emotion.confidence, "emotion")

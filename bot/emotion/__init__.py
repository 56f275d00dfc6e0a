"""Text to one of a role's labels: the model is scored on each label and never generates."""

from bot.emotion.classifier import EmotionClassifier
from bot.emotion.results import Emotion, EmptyText, Evidence, Explanation

__all__ = ["Emotion", "EmotionClassifier", "EmptyText", "Evidence", "Explanation"]

"""Results as sentences: the only place of the emotion domain that speaks."""

from __future__ import annotations

from bot.emotion.results import Emotion, Explanation
from bot.roles import Role
from config.strings import Strings

FEELING_ROLES = ("emotion", "feelings")  # roles that ship; the line of any other begins with its title
MAX_SPANS = 3  # named in a sentence


def emotion_line(emotion: Emotion, role: Role) -> str:
    """The line every surface shows: `😄 LLM 情感判断：正面`; of another role `🔥 Urgency: 紧急`."""
    if role.name in FEELING_ROLES:
        line = Strings()("emotion_line", emoji=emotion.emoji, label=emotion.label)
    else:
        line = f"{emotion.emoji} {role.title}: {emotion.label}"
    return line.strip()


def label_word(emotion: Emotion, language: str) -> str:
    """The label as a reader of `language` says it, beside the line; "" for who reads it in the line."""
    return "" if language == "zh" else emotion.english


def label_aside(emotion: Emotion, language: str) -> str:
    """`label_word` in brackets, to stand behind the label; "" where there is none."""
    word = label_word(emotion, language)
    return f" ({word})" if word else ""


def omitted_text(emotion: Emotion, strings: Strings) -> str:
    """The sentence that says how much of a very long text was not read; "" where all of it was."""
    return strings("omitted", count=f"{emotion.omitted:,}") if emotion.omitted else ""


def explanation_text(explanation: Explanation) -> str:
    """The sentence that names label and spans, in Chinese for Chinese text, else in English."""
    strings = Strings("zh" if explanation.chinese else "en")
    label = explanation.label
    name = label.name if explanation.chinese or not label.english else f"{label.english} ({label.name})"
    if not explanation.evidence:
        return strings("explanation_whole", label=name)
    spans = [
        strings("explanation_span", text=each.text, weight=f"{each.weight:.2f}")
        for each in explanation.evidence[:MAX_SPANS]
    ]
    return strings("explanation", label=name, spans=strings("explanation_separator").join(spans))

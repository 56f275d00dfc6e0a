"""Results as sentences: the line of every surface, and the explanation in the language of the text."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.emotion import Emotion, Evidence, Explanation
from bot.emotion.sentences import emotion_line, explanation_text, label_word
from bot.roles import Label, Role

POSITIVE = Label("正面", "😄", ("好",), english="positive", sign=1)
URGENT = Label("紧急", "🔥", ("紧急",))


def classified(label: Label) -> Emotion:
    """What a classification gives for `label`."""
    return Emotion(label.name, label.emoji, 0.9, {label.name: 0.9}, label.sign, label.english)


def explained(label: Label, *spans: str, chinese: bool) -> Explanation:
    """An explanation by `spans`, each a bit weaker than the one before."""
    evidence = tuple(Evidence(text, 0, len(text), 0.5 - at / 10) for at, text in enumerate(spans))
    return Explanation(evidence, label, chinese)


@pytest.mark.parametrize(("role", "at"), [("emotion", 0), ("feelings", 0)])
def test_the_roles_that_ship_keep_the_fixed_line(roles: dict[str, Role], role: str, at: int) -> None:
    label = roles[role].labels[at]
    assert emotion_line(classified(label), roles[role]) == f"😄 LLM 情感判断：{label.name}"


def test_the_line_of_another_role_begins_with_its_title() -> None:
    role = Role("urgency", "Urgency", "Is it urgent?", labels=(URGENT,))
    assert emotion_line(classified(URGENT), role) == "🔥 Urgency: 紧急"
    assert emotion_line(classified(replace(URGENT, emoji="")), role) == "Urgency: 紧急"


def test_the_label_is_said_in_english_to_who_reads_no_chinese() -> None:
    assert [label_word(classified(POSITIVE), language) for language in ("en", "fr", "zh")] == [
        "positive", "positive", ""
    ]  # fmt: skip
    assert label_word(classified(URGENT), "en") == ""


@pytest.mark.parametrize(
    ("explanation", "sentence"),
    [
        (
            explained(POSITIVE, "太棒了", "终于", chinese=True),
            "判断为“正面”，因句中“太棒了”（0.50）、“终于”（0.40）。",
        ),
        (explained(POSITIVE, chinese=True), "判断为“正面”，整句如此，没有单独起决定作用的词。"),
        (
            explained(POSITIVE, "love", "{great}", chinese=False),
            "Judged positive (正面) because of “love” (0.50), “{great}” (0.40).",
        ),
        (
            explained(POSITIVE, chinese=False),
            "Judged positive (正面) from the whole; no part of it decided alone.",
        ),
        (
            explained(URGENT, "a", "b", "c", "d", chinese=False),
            "Judged 紧急 because of “a” (0.50), “b” (0.40), “c” (0.30).",
        ),
    ],
)
def test_an_explanation_is_one_sentence_in_the_language_of_the_text(
    explanation: Explanation, sentence: str
) -> None:
    assert explanation_text(explanation) == sentence

"""The words that decided, found by leaving them out."""

from __future__ import annotations

import pytest

from bot.emotion import Emotions

SENTENCES = [
    "今天的实验终于成功了，太棒了！",
    "位置还可以，但是房间又脏又吵，前台态度恶劣。",
    "包装一般，不过味道真的很好，会再买。",
    "Delivery took a while, but the cake was absolutely delicious.",
    "The screen is fine. The battery died after two days, what a waste of money!",
]


@pytest.mark.parametrize("text", SENTENCES)
async def test_evidence_stands_in_the_text_and_the_explanation_names_it(
    emotions: Emotions, text: str
) -> None:
    emotion = await emotions.classify(text)
    found = await emotions.explain(text, emotion)
    assert found.evidence
    top = found.evidence[0]
    assert text[top.start : top.end] == top.text
    assert f"“{top.text}”" in found.text
    assert f"{top.weight:.2f}" in found.text


@pytest.mark.parametrize("text", SENTENCES)
async def test_without_its_first_span_the_label_is_less_likely(emotions: Emotions, text: str) -> None:
    emotion = await emotions.classify(text, strict=True)
    top = (await emotions.explain(text, emotion)).evidence[0]
    rest = await emotions.classify(text[: top.start] + text[top.end :], strict=True)
    assert emotion.confidence - rest.scores[emotion.label] == pytest.approx(top.weight, abs=0.05)


async def test_chinese_is_explained_in_chinese_and_english_in_english(emotions: Emotions) -> None:
    for text, begins in (
        ("菜太难吃了，服务也差。", "判断为“负面”，因句中“"),
        ("I hate it.", "Judged negative (负面)"),
    ):
        emotion = await emotions.classify(text, strict=True)
        assert (await emotions.explain(text, emotion)).text.startswith(begins)


async def test_a_single_word_is_its_own_reason(emotions: Emotions) -> None:
    emotion = await emotions.classify("喜欢", strict=True)
    assert [each.text for each in (await emotions.explain("喜欢", emotion)).evidence] == ["喜欢"]


@pytest.mark.parametrize("text", ["？", "\x00a\x00", "👍", "好\ud800。。", "مرحبا، هذا رائع"])
async def test_strange_texts_are_explained_without_an_error(emotions: Emotions, text: str) -> None:
    emotion = await emotions.classify(text)
    found = await emotions.explain(text, emotion)
    assert all(text[each.start : each.end] == each.text for each in found.evidence)

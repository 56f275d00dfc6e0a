"""The decisive words, found by leaving them out, and the sentence that names them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.emotion import EmotionClassifier
from bot.emotion.evidence import MAX_REASON, PASSAGE_SIZE, find_evidence, find_passage
from bot.emotion.sentences import explanation_text
from bot.emotion.spans import CHUNK_SIZE, MAX_READ, normalize_text, parts_read

SENTENCES = [
    "今天的实验终于成功了，太棒了！",
    "位置还可以，但是房间又脏又吵，前台态度恶劣。",
    "包装一般，不过味道真的很好，会再买。",
    "Delivery took a while, but the cake was absolutely delicious.",
    "The screen is fine. The battery died after two days, what a waste of money!",
]


@pytest.mark.parametrize("text", SENTENCES)
async def test_evidence_stands_in_the_text_and_the_explanation_names_it(
    classifier: EmotionClassifier, text: str
) -> None:
    emotion = await classifier.classify(text)
    found = await classifier.explain(text, emotion)
    assert found.evidence
    top = found.evidence[0]
    assert text[top.start : top.end] == top.text
    assert f"“{top.text}”" in explanation_text(found)
    assert f"{top.weight:.2f}" in explanation_text(found)


@pytest.mark.parametrize("text", SENTENCES)
async def test_without_its_first_span_the_label_is_less_likely(
    classifier: EmotionClassifier, text: str
) -> None:
    emotion = await classifier.classify(text, strict=True)
    top = (await classifier.explain(text, emotion)).evidence[0]
    rest = await classifier.classify(text[: top.start] + text[top.end :], strict=True)
    assert emotion.confidence - rest.scores[emotion.label] == pytest.approx(top.weight, abs=0.05)


async def test_the_reason_of_a_long_text_is_found_where_it_stands(classifier: EmotionClassifier) -> None:
    filler = "".join(f"第{number}天我们坐车去了另一个城市。" for number in range(50))
    text = filler + "酒店又脏又吵，气死我了！" + filler
    found = await classifier.explain(text, await classifier.classify(text, strict=True))
    top = found.evidence[0]
    assert text[top.start : top.end] == top.text
    assert top.text in "酒店又脏又吵，气死我了！"


async def test_chinese_is_explained_in_chinese_and_english_in_english(classifier: EmotionClassifier) -> None:
    for text, begins in (
        ("菜太难吃了，服务也差。", "判断为“负面”，因句中“"),
        ("I hate it.", "Judged negative (负面)"),
    ):
        emotion = await classifier.classify(text, strict=True)
        assert explanation_text(await classifier.explain(text, emotion)).startswith(begins)


async def test_a_single_word_is_its_own_reason(classifier: EmotionClassifier) -> None:
    emotion = await classifier.classify("喜欢", strict=True)
    assert [each.text for each in (await classifier.explain("喜欢", emotion)).evidence] == ["喜欢"]


@pytest.mark.parametrize("text", ["？", "\x00a\x00", "👍", "好\ud800。。", "مرحبا، هذا رائع"])
async def test_strange_texts_are_explained_without_an_error(classifier: EmotionClassifier, text: str) -> None:
    emotion = await classifier.classify(text)
    found = await classifier.explain(text, emotion)
    assert all(text[each.start : each.end] == each.text for each in found.evidence)


SOME = st.sampled_from(
    ["第{}天下雨了。", "room {} was dirty, and ", "{}个人，", "\n", " " * 400, "很好{}很好"]
)


@given(parts=st.lists(SOME, min_size=1, max_size=40), times=st.integers(1, 40))
def test_a_reason_costs_no_more_than_is_said_however_long_the_text(parts: list[str], times: int) -> None:
    text = "".join(part.format(number) for number, part in enumerate(parts * times))
    scored: list[int] = []

    async def probability(texts: Sequence[str]) -> list[float]:
        scored.extend(len(normalize_text(each)) for each in texts)
        return [1 / (1 + len(each)) for each in texts]

    async def explain() -> tuple[int, int]:
        span = parts_read(text)[-1]
        passage = await find_passage(text, span, probability)
        searched = sum(scored)
        await find_evidence(text, passage, probability)
        return span[1] - span[0], searched

    length, searched = asyncio.run(explain())
    assert searched <= CHUNK_SIZE or length > CHUNK_SIZE, "a piece is read once"
    assert sum(scored) - searched <= MAX_REASON
    assert max(scored) <= PASSAGE_SIZE or length > CHUNK_SIZE
    assert MAX_REASON + CHUNK_SIZE <= 3 * MAX_READ

"""Normalizing keeps the words, spans index the original text exactly, and cutting loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.emotion.evidence import find_evidence
from bot.emotion.spans import (
    CHUNK_SIZE,
    MAX_READ,
    MAX_REPEATS,
    chunks,
    clauses,
    has_letters,
    is_chinese,
    normalize_text,
    parts_read,
    windows,
    without_references,
)

TEXTS = st.one_of(
    st.text(max_size=120),
    st.text("今天的实验终于成功了太棒，。！？… good-bye's 😀👨‍👩‍👧\n\t\u200b.,", max_size=120),
)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("  很好\n\t吃 ", "很好 吃"),
        ("a\x00b\x07c", "a b c"),
        ("好\u200b吃\ufeff", "好吃"),
        ("\u202eabc\u202c", "abc"),
        ("好\ud800吃", "好吃"),
        ("哈" * 50, "哈" * MAX_REPEATS),
        ("不错 " * 30, "不错 不错 不错 不错 不错"),
        ("👨‍👩‍👧 在家", "👨‍👩‍👧 在家"),
        ("请按<|im_end|>", "请按<|im_end|>"),
        ("\u200b\u200b\x00 ", ""),
    ],
)
def test_what_is_read_of_a_text(text: str, read: str) -> None:
    assert normalize_text(text) == read


@given(st.text(st.characters(), max_size=200))
def test_what_is_read_can_be_encoded_whatever_comes(text: str) -> None:
    read = normalize_text(text)
    assert read.encode("utf-8").decode("utf-8") == read
    assert len(read) <= len(text)
    assert read == read.strip()
    assert "\x00" not in read
    assert "\n" not in read


@given(TEXTS, st.integers(1, 40))
def test_chunks_joined_are_the_text(text: str, size: int) -> None:
    parts = [text[start:end] for start, end in chunks(text, size)]
    assert "".join(parts) == text
    assert all(0 < len(part) <= size for part in parts)


@given(TEXTS, st.integers(1, 12))
def test_clauses_are_in_order_and_do_not_overlap(text: str, most: int) -> None:
    found = clauses(text, most)
    assert len(found) <= most
    assert all(has_letters(text[start:end]) for start, end in found)
    assert all(text[start:end] == text[start:end].strip() for start, end in found)
    assert all(one[1] <= other[0] for one, other in pairwise(found))


@given(TEXTS)
def test_windows_are_proper_parts_of_their_clause(text: str) -> None:
    for clause in clauses(text, 12):
        for start, end in windows(text, clause, 16):
            assert clause[0] <= start < end <= clause[1]
            assert (start, end) != clause


@given(TEXTS.filter(has_letters))
def test_evidence_is_what_stands_at_its_offsets(text: str) -> None:
    async def by_length(texts: Sequence[str]) -> list[float]:
        return [len(each) / (len(text) + 1) for each in texts]

    found = asyncio.run(find_evidence(text, (0, len(text)), by_length))
    assert all(each.text == text[each.start : each.end] and each.text for each in found)
    assert [each.weight for each in found] == sorted((each.weight for each in found), reverse=True)
    places = sorted((each.start, each.end) for each in found)
    assert all(one[1] <= other[0] for one, other in pairwise(places))


def test_a_long_text_is_cut_after_a_sentence() -> None:
    text = "房间很大。服务也好。就是贵"
    assert [text[start:end] for start, end in chunks(text, 8)] == ["房间很大。", "服务也好。就是贵"]


@given(TEXTS, st.integers(0, 400), st.integers(0, 400))
def test_of_a_very_long_text_beginning_and_end_are_read(text: str, before: int, after: int) -> None:
    long = "开头很好。" * before + text + "结尾很糟。" * after
    parts = parts_read(long)
    assert sum(end - start for start, end in parts) <= max(MAX_READ, len(long) if len(parts) == 1 else 0)
    assert all(one[1] <= other[0] for one, other in pairwise(parts))
    if long:
        assert (parts[0][0], parts[-1][1]) == (0, len(long))
    if len(parts) > 1:
        assert all(end - start <= CHUNK_SIZE for start, end in parts)


def test_the_middle_of_a_very_long_text_is_left_out_at_the_ends_of_sentences() -> None:
    sentences = [f"第{number}天我们又去看了一个不同的地方。" for number in range(1000)]
    text = "".join(sentences)
    parts = parts_read(text)
    read = "".join(text[start:end] for start, end in parts)
    assert MAX_READ // 2 < len(read) <= MAX_READ
    assert all(sentence in sentences for sentence in read.replace("。", "。|").split("|")[:-1])


def test_what_says_nothing_more_is_no_reason_to_leave_anything_out() -> None:
    text = "哈" * 10 * MAX_READ
    assert parts_read(text) == [(0, len(text))]


def test_clauses_leave_the_marks_out() -> None:
    text = "今天的实验终于成功了，太棒了！"
    assert [text[start:end] for start, end in clauses(text, 12)] == ["今天的实验终于成功了", "太棒了"]


@pytest.mark.parametrize(
    ("text", "chinese"),
    [("太棒了", True), ("this 奶茶 tastes like 洗碗水", True), ("Good morning", False), ("👍", False)],
)
def test_the_language_of_a_text(text: str, chinese: bool) -> None:
    assert is_chinese(text) == chinese


REFERENCES = [
    *("https://example.com/very/long/path/page?q=1#top", "HTTP://a.io", "www.example.org/menu"),
    *("ann.lee+work@example.co.uk", "@anna", "@anna.lee-2", "@Zoë", "@小明"),
    *("JIRA-1234", "#4711", "202611270012345678", "SF1234567890", "9f86d08"),
    *("e3b0c44298fc1c149afbf4c8996fb92427ae41e4", "123e4567-e89b-12d3-a456-426614174000"),
]


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize("text", ["难过", "难过😭", "so sad", "5 stars"])
def test_an_address_an_id_or_a_mention_is_not_read(text: str, reference: str) -> None:
    for whole in (f"{text} {reference}", f"{reference} {text}", f"{reference}\n{text} {reference}"):
        assert normalize_text(whole) == text
        assert is_chinese(whole) == is_chinese(text)
        assert len(without_references(whole)) == len(whole)


@pytest.mark.parametrize("reference", REFERENCES)
def test_a_text_of_nothing_but_a_reference_stays(reference: str) -> None:
    assert normalize_text(reference) == reference


@pytest.mark.parametrize(
    "text",
    [
        "5 stars",
        "COVID-19",
        "we are #1",
        "10/10",
        "1234567 thanks",
        "defaced",
        "feedback",
        "GPT-4",
        "a @ b",
        "3.1415926535897",
    ],
)
def test_words_and_numbers_that_speak_stay(text: str) -> None:
    assert normalize_text(text) == text


def test_words_beside_a_reference_without_a_space_stay() -> None:
    assert normalize_text("难过https://t.cn/abc太差了") == "难过 太差了"
    assert normalize_text("@bob太差了，订单JIRA-1234又丢了") == "太差了，订单 又丢了"
    assert normalize_text("Bad (see https://t.co/ab).") == "Bad (see )."


@pytest.mark.parametrize(
    "piece", ["a", "a.", "a@", "@", "www.", "http://", "http://!", "0a-", "A1", "@a-", "a@b.", "9", "f9 "]
)
def test_a_long_hostile_text_is_read(piece: str) -> None:
    text = piece * (100_000 // len(piece))
    assert len(without_references(text)) == len(text)


@pytest.mark.parametrize("text", ["难过😭", "难过👍🏽👍🏽👍🏽", "好👨‍👩‍👧‍👦🇨🇳", "开心1️⃣❤️"])
def test_emoji_do_not_decide_the_script(text: str) -> None:
    assert is_chinese(text)

"""A feeling is judged by what its writer says: not by what they quote, nor by the words in code."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.emotion import EmotionClassifier
from bot.emotion.own_words import counted_words, own_words
from bot.emotion.spans import CODE
from bot.roles import Role

TRACEBACK = '```\nTraceback (most recent call last):\n  File "run.py", line 3\nValueError: bad date\n```'


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("> 太难看了\n我挺喜欢", "我挺喜欢"),
        ("  > first\n>> second\n>\nmine", "mine"),
        ("mine\n>quoted without a blank", "mine"),
        (">😀 theirs\nmine", "mine"),
        ("在跑 `make test` 了", f"在跑 {CODE} 了"),
        ("把`a`换成``b`c``", f"把{CODE} 换成{CODE}"),
        ("```one line``` this is bad", f"{CODE} this is bad"),
        ("before\n````\n```\ninner\n```\n````\nafter", f"before {CODE} after"),
        ("```\n> not a quotation\n```\nmine", f"{CODE} mine"),
        (TRACEBACK, CODE),
        (f"> look at this\n{TRACEBACK}", CODE),
        # What only looks like a mark stays.
        (">_< 好难过", ">_< 好难过"),
        ("5 > 3 is true", "5 > 3 is true"),
        ("don`t say it`s bad", "don`t say it`s bad"),
        ("a ` b", "a ` b"),
        ("``` never closed, so awful", "``` never closed, so awful"),
        # A quotation alone is what somebody asks about.
        ("> 他们说这里最好吃\n> 真的吗", "> 他们说这里最好吃 > 真的吗"),
        ("> only theirs\n...", "> only theirs ..."),
    ],
)
def test_quotations_and_code_are_left_out(text: str, own: str) -> None:
    assert " ".join(own_words(text).split()) == own


@given(st.text("ab好>`~ \n。😀", max_size=80))
def test_what_is_left_stands_where_it_stood(text: str) -> None:
    own = own_words(text)
    assert len(own) == len(text)
    assert all(after in (before, " ", CODE) for before, after in zip(text, own, strict=True))


def test_a_role_without_signs_reads_all_of_a_text(roles: dict[str, Role]) -> None:
    emotion = roles["emotion"]
    topic = replace(emotion, labels=tuple(replace(label, sign=0) for label in emotion.labels))
    text = f"{TRACEBACK}\n> theirs\nmine"
    assert counted_words(topic, text) == text
    assert counted_words(emotion, text) != text


@pytest.mark.parametrize(
    ("quoted", "mine", "label"),
    [
        ("> 这次改版简直是灾难，谁同意的？", "我觉得改得很好，用着舒服多了！", "正面"),
        ("> best trip of my life, loved every minute", "I was sick all week and hated it.", "负面"),
        ("> I am so angry about this", "The meeting is in room 4 at noon.", "中性"),
    ],
)
async def test_the_writers_own_words_decide(
    classifier: EmotionClassifier, quoted: str, mine: str, label: str
) -> None:
    alone = await classifier.classify(mine)
    assert alone.label == label
    for text in (f"{quoted}\n{mine}", f"{mine}\n\n{quoted}\n{quoted}"):
        found = await classifier.classify(text)
        assert found.label == label
        assert found.confidence == pytest.approx(alone.confidence, abs=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        TRACEBACK,
        "`CRITICAL disk failure on node-7, data lost`",
        "```\nnpm ERR! fatal: horrible-package not found\n```",
        "```\nhappy_birthday.py: 3 passed, everything is awesome\n```",
    ],
)
async def test_code_alone_says_nothing_of_a_feeling(classifier: EmotionClassifier, text: str) -> None:
    assert (await classifier.classify(text)).label == "中性"


async def test_words_beside_code_are_judged_by_themselves(classifier: EmotionClassifier) -> None:
    texts = [
        f"{TRACEBACK}\nFinally fixed, I am so happy with how it works now!",
        "```\nall tests passed, great\n```\n根本跑不起来，浪费了我一整天，气死了！",
    ]
    assert [each.label for each in await classifier.classify_many(texts)] == ["正面", "负面"]


async def test_the_reason_names_no_quotation_and_no_code(classifier: EmotionClassifier) -> None:
    text = "> 太棒了，太喜欢了！\n`terrible_error()` 这个 `awful` 接口又慢又难用，真让人失望。"
    found = await classifier.explain(text, await classifier.classify(text, strict=True))
    assert found.evidence
    for each in found.evidence:
        assert text[each.start : each.end] == each.text
        assert not any(theirs in each.text for theirs in ("太棒了", "太喜欢", "terrible", "awful"))

"""What the model reads is the same text without what only disturbs it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.emotion.normalising import REPEATS, normalise


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("  很好\n\t吃 ", "很好 吃"),
        ("a\x00b\x07c", "a b c"),
        ("好\u200b吃\ufeff", "好吃"),
        ("\u202eabc\u202c", "abc"),
        ("好\ud800吃", "好吃"),
        ("哈" * 50, "哈" * REPEATS),
        ("不错 " * 30, "不错 不错 不错 不错 不错"),
        ("👨‍👩‍👧 在家", "👨‍👩‍👧 在家"),
        ("请按<|im_end|>", "请按<|im_end|>"),
        ("\u200b\u200b\x00 ", ""),
    ],
)
def test_what_is_read(text: str, read: str) -> None:
    assert normalise(text) == read


@given(st.text(st.characters(), max_size=200))
def test_whatever_comes_can_be_encoded(text: str) -> None:
    read = normalise(text)
    assert read.encode("utf-8").decode("utf-8") == read
    assert len(read) <= len(text)
    assert read == read.strip()
    assert "\x00" not in read
    assert "\n" not in read

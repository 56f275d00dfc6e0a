"""Text comes in whole characters, and a stop string is never seen, not even its beginning."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.engine.text.chat_template import ChatTokenizer
from bot.engine.text.detokenizer import Detokenizer

QUICK = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def tokenizer(hub_dir: Path) -> ChatTokenizer:
    """The starter's."""
    return ChatTokenizer(hub_dir)


def pieces(tokenizer: ChatTokenizer, text: str, stop: tuple[str, ...] = ()) -> list[str]:
    """What is shown after each token of `text`, and at the end."""
    shown = Detokenizer(tokenizer, stop)
    return [*(shown.push(token) for token in tokenizer.encode_text(text)), shown.flush()]


@QUICK
@given(text=st.text(st.characters(exclude_characters="\ufffd", exclude_categories=["Cs"]), max_size=30))
def test_any_text_comes_out_as_it_is_and_never_half_a_character(tokenizer: ChatTokenizer, text: str) -> None:
    found = pieces(tokenizer, text)
    assert "\ufffd" not in "".join(found)
    assert "".join(found) == unicodedata.normalize("NFC", text), "Qwen's tokenizer composes characters"


def test_chinese_and_emoji_come_as_soon_as_they_are_whole(tokenizer: ChatTokenizer) -> None:
    text = "龘靐 👩‍👩‍👧‍👦 太棒了"
    found = pieces(tokenizer, text)
    assert len(tokenizer.encode_text("龘")) > 1, "a character of several tokens"
    assert sum(map(bool, found)) > 5, "piece by piece"
    assert found[-1] == ""


@QUICK
@given(
    before=st.text("ab停 \n", max_size=12),
    stop=st.sampled_from(["停止", "ab\n", "b", "\n\nab", "停"]),
    after=st.text("ab停止\n", max_size=8),
)
def test_nothing_of_a_stop_string_is_shown(
    tokenizer: ChatTokenizer, before: str, stop: str, after: str
) -> None:
    text = before + stop + after
    shown = ""
    for piece in pieces(tokenizer, text, (stop, "")):
        shown += piece
        assert text[: text.index(stop)].startswith(shown)
    assert shown == text[: text.index(stop)]


def test_what_only_looked_like_a_stop_string_is_shown_at_the_end(tokenizer: ChatTokenizer) -> None:
    assert "".join(pieces(tokenizer, "end of STO", ("STOP",))) == "end of STO"


def test_an_unfinished_character_at_the_end_is_dropped(tokenizer: ChatTokenizer) -> None:
    shown = Detokenizer(tokenizer)
    ids = tokenizer.encode_text("好龘")
    text = "".join(shown.push(token) for token in ids[:-1]) + shown.flush()
    assert text == "好"


def test_after_a_stop_string_nothing_comes(tokenizer: ChatTokenizer) -> None:
    shown = Detokenizer(tokenizer, ("b",))
    for token in tokenizer.encode_text("a b"):
        shown.push(token)
    assert shown.stopped
    assert shown.push(tokenizer.encode_text("c")[0]) == ""
    assert shown.flush() == ""

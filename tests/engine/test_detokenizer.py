"""Text comes in whole characters, and a stop string is never seen, not even its beginning."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.engine.detokenizer import Detokenizer
from bot.engine.encoding import Encoder

QUICK = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def encoder(model_dir: Path) -> Encoder:
    """The starter's."""
    return Encoder(model_dir)


def pieces(encoder: Encoder, text: str, stop: tuple[str, ...] = ()) -> list[str]:
    """What is shown after each token of `text`, and at the end."""
    shown = Detokenizer(encoder, stop)
    return [*(shown.push(token) for token in encoder.encode_text(text)), shown.flush()]


@QUICK
@given(text=st.text(st.characters(exclude_characters="\ufffd", exclude_categories=["Cs"]), max_size=30))
def test_any_text_comes_out_as_it_is_and_never_half_a_character(encoder: Encoder, text: str) -> None:
    found = pieces(encoder, text)
    assert "\ufffd" not in "".join(found)
    assert "".join(found) == unicodedata.normalize("NFC", text), "Qwen's tokenizer composes characters"


def test_chinese_and_emoji_come_as_soon_as_they_are_whole(encoder: Encoder) -> None:
    text = "龘靐 👩‍👩‍👧‍👦 太棒了"
    found = pieces(encoder, text)
    assert len(encoder.encode_text("龘")) > 1, "a character of several tokens"
    assert sum(map(bool, found)) > 5, "piece by piece"
    assert found[-1] == ""


@QUICK
@given(
    before=st.text("ab停 \n", max_size=12),
    stop=st.sampled_from(["停止", "ab\n", "b", "\n\nab", "停"]),
    after=st.text("ab停止\n", max_size=8),
)
def test_nothing_of_a_stop_string_is_shown(encoder: Encoder, before: str, stop: str, after: str) -> None:
    text = before + stop + after
    shown = ""
    for piece in pieces(encoder, text, (stop, "")):
        shown += piece
        assert text[: text.index(stop)].startswith(shown)
    assert shown == text[: text.index(stop)]


def test_what_only_looked_like_a_stop_string_is_shown_at_the_end(encoder: Encoder) -> None:
    assert "".join(pieces(encoder, "end of STO", ("STOP",))) == "end of STO"


def test_an_unfinished_character_at_the_end_is_dropped(encoder: Encoder) -> None:
    shown = Detokenizer(encoder)
    ids = encoder.encode_text("好龘")
    text = "".join(shown.push(token) for token in ids[:-1]) + shown.flush()
    assert text == "好"


def test_after_a_stop_string_nothing_comes(encoder: Encoder) -> None:
    shown = Detokenizer(encoder, ("b",))
    for token in encoder.encode_text("a b"):
        shown.push(token)
    assert shown.stopped
    assert shown.push(encoder.encode_text("c")[0]) == ""
    assert shown.flush() == ""

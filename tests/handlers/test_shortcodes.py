"""Slack's shortcodes become the emoji they stand for, and what only looks like one stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.formatting.readable import readable


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("气死了:rage:", "气死了😡"),
        (":joy: 笑死", "😂 笑死"),
        ("谢谢:pray::skin-tone-5:！", "谢谢🙏🏾！"),
        (":heart_eyes::skin-tone-3:", "😍"),  # it has no skin
        (":+1::-1::100:", "👍👎💯"),
        ("done:white_check_mark:", "done✅"),
        (":flag-jp: :woman-running: :e-mail:", "🇯🇵 🏃‍♀️ 📧"),
        ("太难:face_with_tears_of_joy:", "太难😂"),  # Unicode's own name
        ("好 :shipit_squirrel: 的", "好 shipit squirrel 的"),
        (":blob-wave::meow_party:", "blob wave meow party"),
        (":tada::meow_party:", "🎉meow party"),
    ],
)
def test_a_shortcode_becomes_its_emoji_or_its_words(markup: str, text: str) -> None:
    assert readable(markup, {}) == text


@pytest.mark.parametrize(
    "text",
    [
        "08:15:59", "boost::asio::ip", "x:o:y", "key:heart:value", "::tada::", ": tada :", ":tada",
        "`:tada:`", "```\nif x:tada: pass\n```", "https://example.com/:tada:/:x:", 
        "注意:时间:地点", "ratio 3:2:", ":8080:", "see:my_own:thing",
    ],
)  # fmt: skip
def test_what_is_no_shortcode_stays(text: str) -> None:
    assert readable(text, {}) == text


def test_a_labelled_address_keeps_its_colons() -> None:
    assert readable("<https://a.example:8080/:x:|here> :x:", {}) == "here (https://a.example:8080/:x:) ❌"


@given(st.text(alphabet="ab:1_ 中`"))
def test_without_a_colon_on_both_sides_nothing_changes(text: str) -> None:
    if text.count(":") < 2:
        assert readable(text, {}) == text.strip()


def test_references_are_named_and_unknown_ones_left_out() -> None:
    markup = "<@U1> and <@U2> of <!subteam^S1|@ops>, <!subteam^S2> in <#C1>/<#C2|random>, <!here>"
    assert (
        readable(markup, {"U1": "Ada", "C1": "general"}) == "@Ada and  of @ops,  in #general/#random, @here"
    )


def test_a_date_is_read_as_its_sender_wrote_it_for_programs() -> None:
    assert readable("due <!date^1700000000^{date} at {time}^https://a.example|14 November, 22:13>", {}) == (
        "due 14 November, 22:13"
    )

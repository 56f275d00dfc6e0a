"""The words of a message are found wherever Slack keeps them, and each is said once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.formatting.message_markup import body_markup, message_markup
from handlers.formatting.readable import names_within, readable


def said(message: dict[str, Any]) -> str:
    """What the model reads of a message."""
    markup = message_markup(message)
    return readable(markup, {"UBO": "Bo", **names_within(markup)})


def text(words: str, **style: bool) -> dict[str, Any]:
    """A run of words in a rich text."""
    return {"type": "text", "text": words, **({"style": style} if style else {})}


def section(*elements: dict[str, Any]) -> dict[str, Any]:
    """A paragraph of a rich text."""
    return {"type": "rich_text_section", "elements": list(elements)}


def rich(*parts: dict[str, Any]) -> dict[str, Any]:
    """A rich text block."""
    return {"type": "rich_text", "elements": list(parts)}


RICH = rich(
    section(
        {"type": "user", "user_id": "UBO"}, text(" see "), {"type": "channel", "channel_id": "C1"},
        text(" & "), {"type": "link", "url": "https://example.com/a", "text": "the plan"}, text(", "),
        {"type": "emoji", "name": "tada", "unicode": "1f389"},
        {"type": "emoji", "name": "wave", "skin_tone": 4, "unicode": "1f44b-1f3fd"},
        {"type": "emoji", "name": "blob_cheer"}, text(" a < b, "), text("x = :sob:", code=True),
        text(" at "), {"type": "date", "timestamp": 1, "format": "{time}", "fallback": "09:30"},
        {"type": "broadcast", "range": "here"}, {"type": "usergroup", "usergroup_id": "S1"},
    ),
    {
        "type": "rich_text_list", "style": "ordered", "indent": 1, "offset": 1,
        "elements": [section(text("wash")), section(text("dry"))],
    },
    {"type": "rich_text_list", "style": "bullet", "elements": [section(text("fold", bold=True))]},
    {"type": "rich_text_quote", "elements": [text("not\nyet")]},
    {"type": "rich_text_preformatted", "elements": [text("for :x: in y:\n  <!channel>")]},
)  # fmt: skip
RICH_SAID = (
    "@Bo see #C1 & the plan (https://example.com/a), 🎉👋🏽blob cheer a < b, `x = :sob:` at 09:30@here\n"
    "  2. wash\n  3. dry\n• fold\n> not\n> yet\n```\nfor :x: in y:\n  <!channel>\n```"
)
BLOCKS: list[dict[str, Any]] = [
    {"type": "header", "text": {"type": "plain_text", "text": "Disk <full>"}},
    {"type": "divider"},
    {
        "type": "section",
        "text": {"type": "mrkdwn", "text": "on <https://db-3.example.com|db-3> &amp; *db-4*"},
        "fields": [{"type": "mrkdwn", "text": "Used: 98%"}, {"type": "plain_text", "text": "Free: 2%"}],
        "accessory": {"type": "image", "image_url": "https://x.example/i.png", "alt_text": "a red light"},
    },
    {
        "type": "context",
        "elements": [
            {"type": "image", "image_url": "https://x.example/j.png", "alt_text": "logo"},
            {"type": "mrkdwn", "text": "seen by <@UBO>"},
        ],
    },
    {"type": "actions", "elements": [{"type": "button", "text": {"type": "plain_text", "text": "Mute"}}]},
    {"type": "image", "image_url": "https://x.example/k.png", "alt_text": "a steep line",
     "title": {"type": "plain_text", "text": "Usage"}},
    {"type": "table", "rows": [
        [{"type": "raw_text", "text": "host"}, {"type": "raw_text", "text": "used"}],
        [{"type": "rich_text", "elements": [section(text("db-3"))]}, {"type": "raw_text", "text": "98"}],
    ]},
    {"type": "markdown", "text": "**Act** now"},
    {"type": "something_new", "text": "unknown"},
]  # fmt: skip
BLOCKS_SAID = (
    "Disk <full>\non db-3 (https://db-3.example.com) & *db-4*\nUsed: 98%\nFree: 2%\na red light\n"
    "logo seen by @Bo\nUsage\na steep line\nhost | used\ndb-3 | 98\n**Act** now"
)


def test_a_rich_text_is_read_as_it_is_shown() -> None:
    assert said({"text": "", "blocks": [RICH]}) == RICH_SAID


def test_each_kind_of_block_is_read() -> None:
    assert said({"text": "", "blocks": BLOCKS}) == BLOCKS_SAID


def test_a_persons_text_and_its_rich_text_are_one() -> None:
    blocks = [rich(section({"type": "user", "user_id": "UBO"}, text(" ship "), text("it", bold=True),
                           text(" in "), {"type": "channel", "channel_id": "C1"}))]  # fmt: skip
    message = {"text": "<@UBO> ship *it* in <#C1|random>", "blocks": blocks}
    assert said(message) == "@Bo ship *it* in #random"


def test_of_an_app_the_blocks_are_shown_and_the_text_is_for_the_notification() -> None:
    assert said({"text": "Disk full on db-3", "blocks": BLOCKS}) == BLOCKS_SAID
    assert said({"text": "New alert", "blocks": BLOCKS[:1]}) == "Disk <full>"
    buttons = [BLOCKS[4]]
    assert said({"text": "Shall I restart?", "blocks": buttons}) == "Shall I restart?"


def test_an_attachment_is_read_whole_and_its_fallback_only_where_there_is_nothing_else() -> None:
    full = {
        "pretext": "From the build", "title": "Build 7 <failed>", "title_link": "https://ci.example.com/7",
        "text": "2 of 90 tests, see <https://ci.example.com/7/log|log>", "fallback": "Build 7 failed",
        "fields": [{"title": "Branch", "value": "main"}, {"value": "by <@UBO>"}], "footer": "CI &amp; co",
    }  # fmt: skip
    assert said({"text": "", "attachments": [full, {"fallback": "only this"}]}) == (
        "From the build\nBuild 7 <failed>\n2 of 90 tests, see log (https://ci.example.com/7/log)\n"
        "Branch: main\nby @Bo\nCI & co\nonly this"
    )


def test_a_pasted_table_is_an_attachment_of_blocks() -> None:
    pasted = {"id": 1, "blocks": [BLOCKS[6]], "fallback": "[no preview available]"}
    assert said({"text": "which is fuller?", "attachments": [pasted]}) == (
        "which is fuller?\nhost | used\ndb-3 | 98"
    )
    assert said({"text": "look", "attachments": [{"fallback": "[no preview available]"}]}) == "look"


def test_what_the_text_says_already_is_not_said_again() -> None:
    again = {"title": "Disk full", "text": "on db-3"}
    assert said({"text": "Disk full: on db-3!", "attachments": [again, again]}) == "Disk full: on db-3!"
    assert said({"attachments": [again, again]}) == "Disk full\non db-3"


def test_a_shared_message_is_quoted_before_the_own_words() -> None:
    shared = {
        "is_share": True,
        "author_name": "Bo",
        "text": "Ship it\nand sleep",
        "from_url": "https://s.example/p1",
    }
    blocks = {
        "is_msg_unfurl": True, "fallback": "[09:30] Bo: …",
        "message_blocks": [{"message": {"blocks": [rich(section(text("Only in blocks")))]}}],
    }  # fmt: skip
    message = {"text": "what now?", "attachments": [shared, blocks]}
    assert said(message) == "> Bo: Ship it\n> and sleep\n> Only in blocks\nwhat now?"
    assert body_markup(message) == "what now?"  # whom a shared message names is not named here


def test_the_preview_of_an_address_is_not_what_its_sender_says() -> None:
    preview = {"from_url": "https://example.com", "title": "Terrible disaster", "text": "All is lost"}
    assert said({"text": "<https://example.com>", "attachments": [preview]}) == "https://example.com"


@pytest.mark.parametrize("field", ["blocks", "attachments"])
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "elements", "fields", "rows", "style", "blocks",
                             "message_blocks", "message", "fallback", "indent", "offset",
                             "accessory", "title", "is_share"]),
            inner | st.sampled_from(["rich_text", "rich_text_list", "section", "context", "table", "image"]),
            max_size=4,
        ),
        max_leaves=15,
    )
)  # fmt: skip
def test_whatever_another_program_sends_is_text_and_no_error(field: str, odd: Any) -> None:
    assert said({"text": "fine", field: odd}) != ""


@given(st.text(alphabet="abc <>&中文。:`*", max_size=30))
def test_plain_words_stay_the_same_in_blocks_and_in_text(words: str) -> None:
    escaped = words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    in_blocks = said({"blocks": [rich(section(text(words)))]})
    assert in_blocks == said({"text": escaped})

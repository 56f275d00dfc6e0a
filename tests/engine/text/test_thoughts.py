"""Thoughts before an answer are left out, however the stream is cut; tags further on are text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.engine.text.chat_template import ChatTokenizer
from bot.engine.text.thoughts import ThoughtFilter

WHOLE = [
    ("<think>x</think>Hi", "Hi"),
    ("\n<think>\n\n</think>\n\nHi\n", "Hi\n"),
    ("<thinking>a <think> b</think> c</thinking> Hi", "Hi"),
    ("<THINK>x</Think>Hi", "Hi"),
    ("<reasoning>x</reasoning><thought>y</thought>Hi", "Hi"),
    ("<think>İİİİİİ</think>Hi", "Hi"),
    ("<think>never ends", ""),
    ("<think>x</thin", ""),
    ("Use <think>x</think> for it", "Use <think>x</think> for it"),
    ("`<think>` is a tag", "`<think>` is a tag"),
    ("<think>x</think>It writes <think>.", "It writes <think>."),
    ("<thin", "<thin"),
    ("<b>bold</b>", "<b>bold</b>"),
    ("  indented", "  indented"),
    ("<thinker>", "<thinker>"),
    ("", ""),
]


def filtered(pieces: list[str], inside: str = "") -> str:
    """What comes through."""
    thoughts = ThoughtFilter(inside)
    return "".join(map(thoughts.push, pieces)) + thoughts.flush()


@pytest.mark.parametrize(("text", "shown"), WHOLE)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_only_the_thoughts_at_the_beginning_go(text: str, shown: str, size: int) -> None:
    assert filtered([text[at : at + size] for at in range(0, len(text), size)]) == shown


@given(st.text(alphabet="<>/think a\n", max_size=40), st.integers(1, 7))
def test_where_a_stream_is_cut_changes_nothing(text: str, size: int) -> None:
    assert filtered([text[at : at + size] for at in range(0, len(text), size)]) == filtered([text])


def test_a_thought_that_the_prompt_has_begun_ends_in_the_answer() -> None:
    assert filtered(["so", " be it</th", "ink>\nHi"], inside="think") == "Hi"


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize(
    ("text", "shown", "unopened"),
    [
        ("well, hm\n</think>\n\nHi </think>", "Hi </think>", True),
        ("a < b</Thinking>Hi", "Hi", True),
        ("<think>x</think>Hi </think>", "Hi </think>", False),
        (" no thought ", " no thought ", False),
        ("", "", False),
        ("</think>", "", True),
    ],
)
def test_a_thought_that_may_have_begun_unseen_ends_where_one_is_closed(
    text: str, shown: str, unopened: bool, size: int
) -> None:
    thoughts = ThoughtFilter(hidden=True)
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    assert "".join(map(thoughts.push, pieces)) + thoughts.flush() == shown
    assert thoughts.unopened == unopened


def test_a_long_thought_in_many_pieces_ends() -> None:
    thoughts = ThoughtFilter(hidden=True)
    pieces = [*["a < b "] * 100_000, "</th", "ink>", "Hi"]
    assert "".join(map(thoughts.push, pieces)) + thoughts.flush() == "Hi"


@pytest.mark.model
@pytest.mark.parametrize(("begun", "tag"), [("<think>\\n", "think"), ("", ""), ("<think></think>", "")])
def test_the_template_says_whether_a_thought_has_begun(
    hub_dir: Path, tmp_path: Path, begun: str, tag: str
) -> None:
    (tmp_path / "tokenizer.json").symlink_to(hub_dir / "tokenizer.json")
    template = "{{ messages[0].content }}{% if add_generation_prompt %}{{ '" + begun + "' }}{% endif %}"
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    assert ChatTokenizer(tmp_path).opened_thought == tag

"""Emphasis beside Chinese, Japanese and Korean stands in Slack too, whose Markdown is CommonMark's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from whole_answer import sanitize_markdown

from bot.markdown_html import render
from handlers.formatting.emphasis import joined
from handlers.formatting.markdown import MarkdownSanitizer
from handlers.formatting.sanitize import JOINER
from handlers.replies.thread_turns import answer_text

EMPHASISED = [
    "部署前**（周五除外）**通知大家",
    "口令是**“芝麻开门”**没错",
    "第**2.**条作废",
    "运行**`make lint`**再提交",
    "- 列表里的**重点：**在这里",
    "これは**「必須」**です",
    "이것은 **선택(옵션)**입니다",
    "*小贴士：*多喝水，~~旧价（100）~~新价",
    "改为***“三重”***吧",
    "删掉**~~过期。~~**新的",
    "删掉**~~过期~~**新的",
    "|一行**不是表：**格|",
]
PARTS = (
    *("*", "**", "***", "~~", "~", "\\", "`", "``", "```", "\n", "|", "!", "[", "<@U1>", JOINER),
    *("中", "文", "：", "（", "“", "a", " ", "."),
)
texts = st.lists(st.sampled_from(PARTS), max_size=25).map("".join)


@pytest.mark.parametrize("text", EMPHASISED)
def test_emphasis_is_what_people_mean(text: str) -> None:
    meant, shown = render(text), render(sanitize_markdown(text), cjk=False)
    assert render(text, cjk=False) != meant
    assert shown.replace(JOINER, "") == meant


@pytest.mark.parametrize(
    "code", ["`**注：**看`", "看``a`**注：**看``吧", "```\n**注：**看\n```", "~~~py\nx**（2）**y中\n~~~"]
)
def test_code_is_left_as_it_is(code: str) -> None:
    assert sanitize_markdown(code) == code


@given(st.text(alphabet=st.sampled_from('ab *~.(")\\`\n-😀”é'), max_size=40))
def test_text_without_such_characters_is_left_as_it_is(text: str) -> None:
    assert joined(text) == text


@given(st.text(alphabet=st.sampled_from("中文：（“”a. *`"), max_size=30))
def test_all_emphasis_is_what_people_mean(text: str) -> None:
    line = f"a {text}"
    assert render(joined(line), cjk=False).replace(JOINER, "") == render(line)


@given(texts)
def test_joiners_are_put_in_once(text: str) -> None:
    assert joined(joined(text)) == joined(text)


@given(st.one_of(texts, st.sampled_from(EMPHASISED)), st.lists(st.integers(1, 5), min_size=1, max_size=40))
def test_where_the_text_is_cut_does_not_matter(text: str, sizes: list[int]) -> None:
    sanitizer, shown, rest = MarkdownSanitizer(), "", text
    for size in sizes:
        shown += sanitizer.feed(rest[:size])
        rest = rest[size:]
    assert shown + sanitizer.feed(rest) + sanitizer.end() == sanitize_markdown(text)


def test_an_answer_read_back_from_slack_has_no_joiners() -> None:
    text = "请看**注意：**先备份"
    posted = sanitize_markdown(text)
    assert JOINER in posted
    assert answer_text({"blocks": [{"type": "markdown", "text": posted}]}) == text
    assert answer_text({"text": posted}) == text

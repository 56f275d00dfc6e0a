"""No text pings anybody, the pieces' sizes change nothing, and messages keep their code fences whole."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from whole_answer import sanitize_markdown

from handlers.formatting.markdown import MarkdownSanitizer
from handlers.formatting.message_splitter import fence_after, split
from handlers.formatting.readable import readable
from handlers.formatting.sanitize import JOINER, escape, mrkdwn, neutralise, quote

# What Slack acts on in a message's text.
PING = re.compile(r"<[!@#][A-Za-z]|@(?:channel|here|everyone)", re.IGNORECASE)
tricky = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "<!channel>", "<!here|here>", "<@U123>", "<@U1|ada>", "<!subteam^S1|@all>", "<#C1|x>", "<",
                "!", "@", "@channel", "@everyone", "<!date^1^x|<!here>", "|", "|a|b|\n", "|-|-|\n", "```",
                "```py\n", "\n", "\n\n", "~~~\n", "![x](http://y)", "&lt;!channel&gt;", "word ", "中文。",
                "\r\n", "`", "https://a.b/c", "http", "www.", "[x](https://y.z)", "[", "](", ")", "h",
            ]
        ),
        st.text(max_size=6),
    ),
    max_size=30,
).map("".join)  # fmt: skip


@given(tricky)
def test_nothing_pings(text: str) -> None:
    for safe in (
        neutralise(text),
        sanitize_markdown(text),
        quote(text),
        escape(text),
        mrkdwn(sanitize_markdown(text)),
    ):
        assert not PING.search(safe)


@given(tricky)
def test_nothing_is_left_to_unfurl(text: str) -> None:
    markdown = MarkdownIt("commonmark", {"linkify": True}).enable("linkify")
    assert markdown.linkify is not None
    markdown.linkify.set({"fuzzy_link": False, "fuzzy_email": False})
    assert 'href="http' not in markdown.render(sanitize_markdown(text))


@given(tricky, st.lists(st.integers(1, 7), min_size=1, max_size=60))
def test_pieces_do_not_matter(text: str, sizes: list[int]) -> None:
    text = text.replace("\r", "")
    sanitizer, shown, at = MarkdownSanitizer(), "", 0
    for size in sizes * (len(text) // len(sizes) + 1):
        shown += sanitizer.feed(text[at : at + size])
        at += size
    assert shown + sanitizer.end() == sanitize_markdown(text)


@given(tricky.map(lambda t: t * 5), st.integers(40, 200))
def test_split_fits_and_loses_nothing(text: str, limit: int) -> None:
    text = sanitize_markdown(text)
    pages = split(text, limit)
    assert all(0 < len(page) <= limit for page in pages)
    letters = re.sub(r"[`~\s]", "", text)
    assert re.sub(r"[`~\s]", "", "".join(pages)) == letters
    for page in pages:
        fence = ""
        for line in page.split("\n"):
            fence = fence_after(fence, line)
        assert not fence


def test_a_code_fence_that_fits_is_not_cut() -> None:
    code = "```py\n" + "x = 1\n" * 20 + "```\n"
    pages = split("Words here. " * 10 + "\n\n" + code + "After.\n", 200)
    assert [page for page in pages if code.strip() in page]


def test_long_text_is_cut_at_paragraphs() -> None:
    paragraphs = [f"Paragraph {n}. " + "word " * 20 for n in range(12)]
    pages = split("\n\n".join(paragraphs), 400)
    assert all(page.startswith("Paragraph") for page in pages)


def test_a_table_becomes_aligned_text() -> None:
    text = sanitize_markdown("Look:\n| 名字 | n |\n| --- | --- |\n| Ada | 10 |\nDone")
    assert text == "Look:\n```\n名字 | n\n-----+---\nAda  | 10\n```\nDone"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<!channel> go", "@\u2060channel go"),
        ("<@U12> hi", "@\u2060U12 hi"),
        ("a < b", "a < b"),
        ("![cat](http://x/y.png)", "cat (`http://x/y.png`)"),
        ("see https://example.com/a_b. Or", "see `https://example.com/a_b`. Or"),
        (
            '在https://example.com看，[这里](https://a.b/c "t")',
            "在`https://example.com`看，这里 (`https://a.b/c`)",
        ),
        ("`curl https://a.b` and www.c.de", "`curl https://a.b` and `www.c.de`"),
        ("```\nhttps://a.b\n```", "```\nhttps://a.b\n```"),
        ("[x] and [y](z) are no links", "[x] and [y](z) are no links"),
        ("```\nopen", "```\nopen\n```"),
    ],
)
def test_sanitize_markdown(text: str, shown: str) -> None:
    assert sanitize_markdown(text) == shown


LONG = 100_000


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("!" * LONG, "!" * LONG),
        ("!" * LONG + "[a](b)", "[a](b)"),
        ("<@U1|" * (LONG // 5), "<" + JOINER + ("@U1|<" + JOINER) * (LONG // 5 - 1) + "@U1|"),
    ],
    ids=["marks", "marks before a picture", "mentions that never end"],
)
def test_what_repeats_for_long_is_neutralised(text: str, shown: str) -> None:
    assert neutralise(text) == shown


@pytest.mark.parametrize("opened", ["<@U1|", "<#C1|", "<!here|", "<!date^1|", "<https://a|"])
def test_markup_that_never_ends_is_text_however_long_it_is(opened: str) -> None:
    text = opened * (LONG // len(opened))
    assert readable(text, {}) == text
    assert readable(f"{text}{opened}b>", {"U1": "Ada"}).startswith(text)

"""Whatever a model or a person writes: nothing pings, nothing is lost, everything fits."""

from __future__ import annotations

import re

from hypothesis import example, given, settings
from hypothesis import strategies as st
from whole_answer import sanitize_markdown

from bot.roles import split_tag
from config.strings import Strings
from handlers.formatting.markdown import MarkdownSanitizer
from handlers.formatting.message_splitter import fence_after, split
from handlers.formatting.sanitize import JOINER, escape, mrkdwn, neutralise, quote
from handlers.listeners.commands import Command, parse

# Text made of what Slack, Markdown and the splitters look at, between ordinary and odd characters.
PIECES = (
    "<!channel>",
    "<!here|now>",
    "<!subteam^S1|@all>",
    "<@U123>",
    "<@U123|ada>",
    "<#C1|general>",
    "<!date^1^{time}|x>",
    "@here",
    "@Everyone",
    "@channel",
    "<",
    ">",
    "!",
    "@",
    "#",
    "![x](http://y)",
    "```",
    "~~~~",
    "```python",
    "| a | b |",
    "|---|---|",
    "\n",
    "\n\n",
    "\r\n",
    "**bold**",
    "- item",
    "word ",
    "你好。",
    "🙂",
    "\u202e",
    "\x00",
    "&lt;!channel&gt;",
)
texts = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=12)), max_size=40).map("".join)
# A word joiner behind the sign, and Slack takes it for text.
PING = re.compile(rf"<[!@#](?!{JOINER})|@(?:channel|here|everyone)|!\[", re.IGNORECASE)


@given(texts)
@example("<<!channel>!channel>")
@example("<!<!here>here>")
@example("!![x](http://y)")
def test_nothing_pings(text: str) -> None:
    assert not PING.search(neutralise(text))
    assert not PING.search(sanitize_markdown(text))
    assert not PING.search(escape(text))
    assert not PING.search(quote(text))
    assert not PING.search(mrkdwn(sanitize_markdown(text)))


@given(texts)
def test_escaped_text_is_one_line_without_markup(text: str) -> None:
    escaped = escape(text)
    assert len(escaped.splitlines()) <= 1
    assert not re.search(r"[<>]", escaped)
    assert not re.search(r"&(?!amp;|lt;|gt;)", escaped)


@given(texts, st.integers(min_value=2, max_value=60))
def test_a_quotation_is_marked_on_each_line(text: str, most: int) -> None:
    quoted = quote(text, most)
    assert all(line.startswith("> ") for line in quoted.splitlines())
    assert "<" not in quoted.replace("&lt;", "")


@given(texts, st.lists(st.integers(min_value=1, max_value=9), max_size=80))
def test_the_pieces_in_which_an_answer_comes_change_nothing(text: str, sizes: list[int]) -> None:
    text = text.replace("\r", "")  # a carriage return may be the half of a line end
    sanitizer, done, rest = MarkdownSanitizer(), "", text
    for size in sizes:
        done += sanitizer.feed(rest[:size])
        rest = rest[size:]
    done += sanitizer.feed(rest) + sanitizer.end()
    assert done == sanitize_markdown(text)


@settings(deadline=None)
@given(texts, st.integers(min_value=60, max_value=200))
def test_every_message_fits_and_nothing_is_lost(text: str, limit: int) -> None:
    pages = split(text, limit)
    assert all(0 < len(page) <= limit for page in pages)
    assert words(text) == words("".join(pages))


@given(texts, st.integers(min_value=60, max_value=200))
def test_every_message_closes_the_fences_it_opens(text: str, limit: int) -> None:
    for page in split(sanitize_markdown(text), limit):
        fence = ""
        for line in page.split("\n"):
            fence = fence_after(fence, line)
        assert fence == ""


def words(text: str) -> str:
    """The characters of a text that no splitting may touch: no fences, no white space."""
    return re.sub(r"[`~\s]|python", "", text)


@given(st.sampled_from(("EMOTION", "CHAT", "emotion", "Chat")), st.sampled_from("#＃"), texts)
def test_a_tag_at_the_start_picks_the_role(tag: str, mark: str, text: str) -> None:
    assert split_tag(f" {mark}{tag}{mark} {text}") == (tag.lower(), text.strip())


@given(texts)
def test_without_a_tag_the_text_stays_whole(text: str) -> None:
    mode, rest = split_tag(text)
    assert rest in text
    if mode is None:
        assert rest == text.strip()


@given(st.sampled_from(("/emotion", "/chat")), texts)
def test_a_command_is_understood_or_its_usage_told(command: str, typed: str) -> None:
    found = parse(command, typed, Strings("zh"))
    assert isinstance(found, Command)
    assert bool(found.problem) + bool(found.text) + found.forget == 1
    assert not (found.feelings and command == "/chat")
    assert not found.text or found.text in typed


@given(texts.filter(lambda text: not text.lstrip().startswith(("-", "—", "–", "#", "＃"))))
def test_plain_text_behind_a_command_is_taken_as_it_is(typed: str) -> None:
    found = parse("/emotion", f"--feelings {typed}", Strings())
    if typed.strip():
        assert (found.text, found.feelings) == (typed.strip(), True)

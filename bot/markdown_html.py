"""Markdown to safe HTML: rendered by one library, cleaned by another."""

from __future__ import annotations

import nh3
from markdown_it import MarkdownIt

# html=False: raw HTML in a text is shown as text.
_MARKDOWN = MarkdownIt("commonmark", {"html": False, "linkify": True, "breaks": True}).enable(
    ["table", "strikethrough", "linkify"]
)
_TAGS = {
    *("p", "br", "strong", "em", "s", "del", "code", "pre", "ul", "ol", "li", "blockquote", "hr", "a"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}


def render(text: str) -> str:
    """Safe HTML for Markdown: known tags only, links only to the web and to mail, no pictures."""
    return nh3.clean(
        _MARKDOWN.render(text),
        tags=_TAGS,
        attributes={"a": {"href"}, "ol": {"start"}},
        url_schemes={"http", "https", "mailto"},
    )

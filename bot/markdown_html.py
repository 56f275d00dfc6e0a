"""Markdown to safe HTML: rendered by one library, cleaned by another."""

from __future__ import annotations

from collections.abc import Sequence

import nh3
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from bot.cjk_emphasis import cjk_friendly

_TAGS = {
    *("p", "br", "strong", "em", "s", "del", "code", "pre", "ul", "ol", "li", "blockquote", "hr", "a"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td", "div"),
}
_ALIGNMENTS = {"left", "center", "right"}


def render(text: str, *, cjk: bool = True) -> str:
    """Safe HTML for Markdown: known tags only, links only to the web and to mail, no pictures.

    Links open beside the page. What can be wider than its place, a `pre` and the `div.table` around a table,
    can have the focus, so that the keyboard scrolls it. Cells are aligned by the classes `left`, `center` and
    `right`.
    cjk: emphasis beside Chinese, Japanese and Korean as people mean it; without, CommonMark to the letter.
    """
    return nh3.clean(
        (_FRIENDLY if cjk else _STRICT).render(text),
        tags=_TAGS,
        attributes={"a": {"href", "target"}, "ol": {"start"}, "pre": {"tabindex"}, "div": {"tabindex"}},
        allowed_classes={"th": _ALIGNMENTS, "td": _ALIGNMENTS, "div": {"table"}},
        set_tag_attribute_values={
            "a": {"target": "_blank"},
            "pre": {"tabindex": "0"},
            "div": {"tabindex": "0"},
        },
        link_rel="noopener noreferrer nofollow",
        url_schemes={"http", "https", "mailto"},
    )


def _parser() -> MarkdownIt:
    # html=False: raw HTML in a text is shown as text.
    parser = MarkdownIt("commonmark", {"html": False, "linkify": True, "breaks": True}).enable(
        ["table", "strikethrough", "linkify"]
    )
    parser.add_render_rule("image", _image)
    parser.add_render_rule("table_open", _table_open)
    parser.add_render_rule("table_close", _table_close)
    parser.add_render_rule("th_open", _cell_open)
    parser.add_render_rule("td_open", _cell_open)
    return parser


def _image(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    """A picture is never loaded: its alternative text stands for it, or where there is none its address."""
    token = tokens[index]
    shown = self.renderInlineAsText(token.children, options, env) if token.children else ""
    return escapeHtml(shown or str(token.attrs.get("src", "")))


def _table_open(self: RendererHTML, *_: object) -> str:
    return '<div class="table"><table>\n'


def _table_close(self: RendererHTML, *_: object) -> str:
    return "</table></div>\n"


def _cell_open(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    """A cell whose alignment is a class: the page's policy lets no `style` through."""
    token = tokens[index]
    alignment = str(token.attrs.pop("style", "")).removeprefix("text-align:")
    if alignment:
        token.attrSet("class", alignment)
    return self.renderToken(tokens, index, options, env)


_STRICT = _parser()
_FRIENDLY = _parser().use(cjk_friendly)

"""Emphasis beside Chinese, Japanese and Korean, which CommonMark's flanking rule leaves as asterisks.

CommonMark tells an opening `**` from a closing one by the spaces around it, and these languages have none:
in `**注意：**请先备份` the second `**` follows punctuation and precedes a letter, and so closes nothing. By
the amendment at https://github.com/tats-u/markdown-cjk-friendly their punctuation counts as letters, and
other punctuation may open and close beside their characters.
"""

from __future__ import annotations

import unicodedata

from markdown_it import MarkdownIt
from markdown_it.common.utils import isPunctChar, isWhiteSpace
from markdown_it.parser_inline import ParserInline
from markdown_it.rules_inline.state_inline import Scanned, StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType


def cjk_friendly(markdown: MarkdownIt) -> None:
    """A plugin of markdown-it: `MarkdownIt(...).use(cjk_friendly)`. Emphasis and strikethrough follow it."""
    parser = _InlineParser()
    parser.ruler, parser.ruler2 = markdown.inline.ruler, markdown.inline.ruler2
    markdown.inline = parser


def is_cjk(character: str) -> bool:
    """Whether a character is Chinese, Japanese or Korean, their punctuation included and emoji not."""
    wide = unicodedata.east_asian_width(character) in "WFH"
    return wide and not ("\u2300" <= character <= "\u2bff" or "\U0001f000" <= character <= "\U0001fbff")


def flanking(before: str, after: str) -> tuple[bool, bool]:
    """Whether a run of delimiters between two characters, a space at an end of the line, is left-flanking,
    and whether it is right-flanking."""
    space_before, space_after = isWhiteSpace(ord(before)), isWhiteSpace(ord(after))
    cjk_before, cjk_after = is_cjk(before), is_cjk(after)
    stop_before = isPunctChar(before) and not cjk_before
    stop_after = isPunctChar(after) and not cjk_after
    left = not space_after and (not stop_after or space_before or stop_before or cjk_before)
    right = not space_before and (not stop_before or space_after or stop_after or cjk_after)
    return left, right


class _InlineState(StateInline):
    def scanDelims(self, start: int, canSplitWord: bool) -> Scanned:
        marker, end = self.src[start], start
        while end < self.posMax and self.src[end] == marker:
            end += 1
        before = self.src[start - 1] if start else " "
        after = self.src[end] if end < self.posMax else " "
        left, right = flanking(before, after)
        return Scanned(
            left and (canSplitWord or not right or isPunctChar(before)),
            right and (canSplitWord or not left or isPunctChar(after)),
            end - start,
        )


class _InlineParser(ParserInline):
    def parse(self, src: str, md: MarkdownIt, env: EnvType, tokens: list[Token]) -> list[Token]:
        """What the library does, with the other state."""
        state = _InlineState(src, md, env, tokens)
        self.tokenize(state)
        for rule in self.ruler2.getRules(""):
            rule(state)
        return state.tokens

"""What the writer of a text says, apart from what others said before them and from code."""

from __future__ import annotations

import re

from bot.emotion.spans import CODE, has_letters
from bot.roles import Role

_BLOCK = re.compile(r"(?<!`)(`{3,6})(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
# A mark inside a word is an apostrophe ("don`t").
_INLINE = re.compile(r"(?<![A-Za-z0-9`])(`{1,2})(?!`).+?(?<!`)\1(?![A-Za-z0-9`])")
# A mark with other marks behind it is a face (">_<").
_QUOTED = re.compile(r"(?m)^[ \t]*>(?![!-/:-=?-@\[-`{-~]).*$")


def counted_words(role: Role, text: str) -> str:
    """What counts of `text`, as long as it: of a role that asks how somebody feels, their own words."""
    return own_words(text) if any(label.sign for label in role.labels) else text


def own_words(text: str) -> str:
    """`text`, as long as before, with blanks in place of quoted lines (`> …`) and CODE in place of code
    between marks (`…`, ```…```).

    A text of nothing but quotations is what somebody wants to know about, and stays as it is.
    """
    without_code = _INLINE.sub(_code, _BLOCK.sub(_code, text))
    own = _QUOTED.sub(lambda match: " " * len(match[0]), without_code)
    return own if has_letters(own) or CODE in own else text


def _code(match: re.Match[str]) -> str:
    return CODE.ljust(len(match[0]))

"""What the model reads of a text: the same words without what only disturbs it.

Evidence is found by leaving spans of the original text out, so no map of offsets is needed.
"""

from __future__ import annotations

import re
import unicodedata

REPEATS = 4  # of one character or of a short group in a row; more say nothing more

_CHARACTER = re.compile(rf"(.)\1{{{REPEATS},}}", re.DOTALL)
_GROUP = re.compile(rf"(.{{2,8}}?)\1{{{REPEATS},}}", re.DOTALL)
_JOINER = "\u200d"  # holds the parts of an emoji together


def normalise(text: str) -> str:
    """`text` on one line: no control characters, invisible marks or halves of surrogate pairs, and no
    character or short group repeated more than four times. May be empty."""
    text = "".join(map(_visible, text))
    text = " ".join(text.split())
    text = _CHARACTER.sub(lambda found: found[1] * REPEATS, text)
    return _GROUP.sub(lambda found: found[1] * REPEATS, text)


def _visible(character: str) -> str:
    kind = unicodedata.category(character)
    if kind == "Cc":
        return " "
    if kind == "Cs" or (kind == "Cf" and character != _JOINER):
        return ""
    return character

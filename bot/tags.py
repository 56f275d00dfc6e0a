"""The tags `#EMOTION#` and `#CHAT#` with which a person picks the role at the start of a message."""

from __future__ import annotations

import re

_TAG = re.compile(r"\s*[#＃](EMOTION|CHAT)[#＃]\s*", re.IGNORECASE)


def split_tag(text: str) -> tuple[str | None, str]:
    """The tag's mode (`emotion` or `chat`, None without a tag) and the text after it, stripped.

    Upper or lower case and full-width # count. Only the very start is looked at, and one tag is taken.
    """
    match = _TAG.match(text)
    if match is None:
        return None, text.strip()
    return match[1].lower(), text[match.end() :].strip()

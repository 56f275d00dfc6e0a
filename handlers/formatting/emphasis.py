"""Emphasis beside Chinese, Japanese and Korean as Slack shows it, which follows CommonMark to the letter."""

from __future__ import annotations

import re

from markdown_it.common.utils import isPunctChar, isWhiteSpace

from bot.cjk_emphasis import flanking
from handlers.formatting.sanitize import CODE, JOINER

_RUN = re.compile(r"\*+|~~+")
# Code and escaped characters are passed over; runs that touch are looked at together.
_RUNS = re.compile(rf"{CODE.pattern}|\\.|(?P<runs>(?:{_RUN.pattern})+)")
_UNDECIDED = re.compile(r"[*~]+$")


def joined(line: str) -> str:
    """Sanitized Markdown whose emphasis needs no amendment: an invisible joiner, which is neither space nor
    punctuation, stands between punctuation and delimiters that only the CJK-friendly rule lets open or close.
    """
    return _RUNS.sub(_joined, line)


def decided(line: str) -> str:
    """The part of an unfinished line whose `joined` text is the same whatever follows."""
    return _UNDECIDED.sub("", line)


def _joined(match: re.Match[str]) -> str:
    found, line, (start, end) = match["runs"], match.string, match.span()
    if not found:
        return match[0]
    around = f"{line[max(0, start - 1) : start] or ' '}{found}{line[end : end + 1] or ' '}"
    runs = list(_RUN.finditer(around, 1, len(around) - 1))
    sides = [(around[run.start() - 1], around[run.end()]) for run in runs]
    if all(flanking(*side) == _strictly(*side) for side in sides):
        return found
    before, after = (JOINER if isPunctChar(side) else "" for side in (around[0], around[-1]))
    return before + JOINER.join(run[0] for run in runs) + after


def _strictly(before: str, after: str) -> tuple[bool, bool]:
    """`flanking` by CommonMark's own rule."""
    space_before, space_after = isWhiteSpace(ord(before)), isWhiteSpace(ord(after))
    stop_before, stop_after = isPunctChar(before), isPunctChar(after)
    left = not space_after and (not stop_after or space_before or stop_before)
    return left, not space_before and (not stop_before or space_after or stop_after)

"""Where a text may be cut: into pieces that the model reads, into clauses, into word-sized windows."""

from __future__ import annotations

import re
from collections.abc import Iterator

Span = tuple[int, int]  # start and end in the text

_ENDS = "。！？!?；;…\n"
_CLAUSE = re.compile(r"[^，。！？；、,!?;…~～\n]+?(?=[，。！？；、,!?;…~～\n]|\.(?:\s|\.|$)|$)")
_UNIT = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*|[^\w\s]", re.UNICODE)
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")


def cut(text: str, size: int) -> list[str]:
    """Pieces of at most `size` characters that together are `text`, cut after a sentence if possible."""
    pieces = []
    while len(text) > size:
        end = max(text.rfind(mark, size // 2, size) for mark in _ENDS) + 1
        end = end or max(text.rfind(mark, size // 2, size) for mark in "，, ") + 1 or size
        pieces.append(text[:end])
        text = text[end:]
    return [*pieces, text] if text else pieces


def clauses(text: str, most: int) -> list[Span]:
    """The clauses of `text` without the marks around them; neighbours are joined until there are `most`."""
    found = [span for match in _CLAUSE.finditer(text) if (span := _stripped(text, *match.span()))]
    while len(found) > most:
        found = [(pair[0][0], pair[-1][1]) for pair in (found[i : i + 2] for i in range(0, len(found), 2))]
    return found


def windows(text: str, span: Span, most: int) -> list[Span]:
    """Word-sized spans within `span`: one or two words, or two to four Chinese characters."""
    units = list(_units(text, span))
    found: dict[Span, None] = {}
    for length in (4, 3, 2, 1):
        step = 1 + len(units) // most
        for at in range(0, len(units) - length + 1, step):
            inside = units[at : at + length]
            dense = all(end - start == 1 and _CJK.match(text[start]) for start, end in inside)
            if length <= (4 if dense else 2) and not (dense and length == 1):
                found[(inside[0][0], inside[-1][1])] = None
    found.pop(span, None)
    return list(found)[:most]


def has_letters(text: str) -> bool:
    """Whether there is a letter or digit, or a symbol such as an emoji, in `text`: more than punctuation."""
    return any(c.isalnum() or ord(c) > 0x2190 for c in text)


def is_chinese(text: str) -> bool:
    """Whether Chinese, Japanese or Korean characters make up a good part of `text`."""
    letters = sum(c.isalpha() for c in text)
    return len(_CJK.findall(text)) * 4 > letters


def _units(text: str, span: Span) -> Iterator[Span]:
    """Words, single characters of a script without spaces, and single marks."""
    for match in _UNIT.finditer(text, *span):
        start, end = match.span()
        if not _CJK.search(match[0]):
            yield start, end
            continue
        for part in re.finditer(rf"{_CJK.pattern}|[^\s]+?(?={_CJK.pattern}|$)", match[0]):
            yield start + part.start(), start + part.end()


def _stripped(text: str, start: int, end: int) -> Span | None:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return (start, end) if has_letters(text[start:end]) else None

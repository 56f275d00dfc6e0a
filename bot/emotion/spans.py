"""Text before the model: what of it is read, and where it may be cut into chunks, clauses and windows."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

Span = tuple[int, int]  # start and end in the text

MAX_READ = 3000  # characters that are read of one text; of a longer one the beginning and the end
CHUNK_SIZE = 600  # characters of a long text that are scored in one prompt
MAX_REPEATS = 4  # of one character or of a short group in a row; more add no meaning
CODE = "\ufffc"  # Unicode's mark for an object within a text, here in place of code

_REPEATED_CHARACTER = re.compile(rf"(.)\1{{{MAX_REPEATS},}}", re.DOTALL)
_REPEATED_GROUP = re.compile(rf"(.{{2,8}}?)\1{{{MAX_REPEATS},}}", re.DOTALL)
_JOINER = "\u200d"  # holds the parts of an emoji together

_SENTENCE_ENDS = "。！？!?；;…\n"
_CLAUSE_ENDS = "，, "
_CLAUSE = re.compile(rf"[^，。！？；、,!?;…~～\n{CODE}]+?(?=[，。！？；、,!?;…~～\n{CODE}]|\.(?:\s|\.|$)|$)")
_UNIT = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*|[^\w\s]", re.UNICODE)
_CJK_RANGES = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
_CJK = re.compile(rf"[{_CJK_RANGES}]")

# What names something and says nothing of a feeling. Short numbers speak ("5 stars", "COVID-19") and stay.
# Each begins where no word does and has one way to match, so that hostile text takes linear time.
_REFERENCE = re.compile(
    rf"""
    (?<![A-Za-z0-9_.+\-])(?:
        (?i:https?://|www\.)[^\s<>"|\x00-\x20\x7f-\U0010ffff]*[A-Za-z0-9/]
        | [A-Za-z0-9_.+\-]{{1,64}}@[A-Za-z0-9\-]{{1,63}}(?:\.[A-Za-z0-9\-]{{1,63}}){{1,8}}  # e-mail
        | @(?:[^\W{_CJK_RANGES}]+(?:[.\-][^\W{_CJK_RANGES}]+)*|[{_CJK_RANGES}]{{1,4}}(?!\w))  # mention
        | (?:
            (?i:[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}})  # UUID
            | (?i:(?=[a-f]*[0-9])(?=[0-9]*[a-f])[0-9a-f]{{7,64}})  # hash
            | [A-Z][A-Z0-9]{{1,9}}-[0-9]{{3,}}  # ticket
            | \#[0-9]{{3,}}
            | [A-Za-z]{{0,4}}[0-9]{{10,}}  # order or parcel
            | [A-Z]{{1,4}}[0-9]{{6,}}
        )(?![A-Za-z0-9_])
    )
    """,
    re.VERBOSE,
)


def normalize_text(text: str) -> str:
    """`text` on one line: no control characters, invisible marks or halves of surrogate pairs, no
    references, the word "code" for CODE, and no character or short group repeated more than MAX_REPEATS
    times. May be empty.

    Evidence is found by leaving spans of the original text out, so no map of offsets is needed.
    """
    text = without_references("".join(map(_visible, text))).replace(CODE, "[code]")
    text = " ".join(text.split())
    text = _REPEATED_CHARACTER.sub(lambda match: match[1] * MAX_REPEATS, text)
    return _REPEATED_GROUP.sub(lambda match: match[1] * MAX_REPEATS, text)


def without_references(text: str) -> str:
    """`text` with blanks, as many as there were characters, in place of addresses, ids and mentions.

    A text of nothing else stays as it is, so that it can be classified, too.
    """
    blanked = _REFERENCE.sub(lambda match: " " * len(match[0]), text)
    return blanked if has_letters(blanked) else text


def chunks(text: str, size: int, start: int = 0) -> list[Span]:
    """Parts of at most `size` characters, together `text[start:]`, cut after a sentence if possible."""
    found = []
    while len(text) - start > size:
        end = _last_cut(text, start + size // 2, start + size)
        found.append((start, end))
        start = end
    return [*found, (start, len(text))] if start < len(text) else found


def parts_read(text: str) -> list[Span]:
    """The parts of `text` that are scored, each in its own prompt; all of it up to MAX_READ characters."""
    if len(normalize_text(text)) <= CHUNK_SIZE:
        return [(0, len(text))]
    if len(text) <= MAX_READ:
        return chunks(text, CHUNK_SIZE)
    half = MAX_READ // 2
    head = text[: _last_cut(text, half // 2, half)]
    tail = _first_cut(text, len(text) - half, len(text) - half // 2)
    return [*chunks(head, CHUNK_SIZE), *chunks(text, CHUNK_SIZE, tail)]


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
    """Whether there is a letter or digit, or a symbol such as an emoji, in `text`: more than punctuation
    and CODE."""
    return any(c.isalnum() or (ord(c) > 0x2190 and c != CODE) for c in text)


def is_chinese(text: str) -> bool:
    """Whether Chinese, Japanese or Korean characters make up a good part of the letters of `text`.

    Emoji are no letters, and those of addresses, ids and mentions do not count.
    """
    text = without_references(text)
    letters = sum(c.isalpha() for c in text)
    return len(_CJK.findall(text)) * 4 > letters


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cc":
        return " "
    if category == "Cs" or (category == "Cf" and character != _JOINER):
        return ""
    return character


def _units(text: str, span: Span) -> Iterator[Span]:
    """Words, single characters of a script without spaces, and single marks."""
    for match in _UNIT.finditer(text, *span):
        start, end = match.span()
        if not _CJK.search(match[0]):
            yield start, end
            continue
        for part in re.finditer(rf"{_CJK.pattern}|[^\s]+?(?={_CJK.pattern}|$)", match[0]):
            yield start + part.start(), start + part.end()


def _last_cut(text: str, start: int, end: int) -> int:
    """The last place in a range where `text` may be cut: after a sentence, else a clause, else its end."""
    for marks in (_SENTENCE_ENDS, _CLAUSE_ENDS):
        if found := max(text.rfind(mark, start, end) for mark in marks) + 1:
            return found
    return end


def _first_cut(text: str, start: int, end: int) -> int:
    """The first place in a range where `text` may be cut, as in `_last_cut`; else its start."""
    for marks in (_SENTENCE_ENDS, _CLAUSE_ENDS):
        if found := [at for mark in marks if (at := text.find(mark, start, end)) >= 0]:
            return min(found) + 1
    return start


def _stripped(text: str, start: int, end: int) -> Span | None:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return (start, end) if has_letters(text[start:end]) else None

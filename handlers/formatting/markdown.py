"""A model's Markdown as Slack renders it, sanitized while it is generated."""

from __future__ import annotations

import re
import unicodedata

from handlers.formatting.emphasis import decided, joined
from handlers.formatting.message_splitter import fence_after
from handlers.formatting.sanitize import join_parts, neutralise, sanitize_inline, stable_length

_ROW = re.compile(r" *\|.*\|\s*$")
_RULE = re.compile(r" *\|(\s*:?-+:?\s*\|)+\s*$")


class MarkdownSanitizer:
    """Sanitizes a model's Markdown piece by piece; the pieces' sizes change nothing.

    Mentions and addresses are made harmless, and emphasis beside Chinese holds. Tables become aligned text
    in a code fence, since streamed messages show none; a table is held back until it is complete.
    """

    def __init__(self) -> None:
        self._held = ""
        self._line = ""  # the current line as far as it was given out
        self._fence = ""
        self._given = ""  # and how that looked, but for the joiners at emphasis
        self._shown = ""  # and with them, less what the next character decides
        self._table: list[str] = []

    def feed(self, piece: str) -> str:
        """What may be shown after this piece; "" while more is needed to tell."""
        self._held += piece.replace("\r\n", "\n").replace("\r", "\n")
        done = ""
        while "\n" in self._held:
            line, self._held = self._held.split("\n", 1)
            done += self._whole(line)
        return done + self._part()

    def end(self) -> str:
        """What is left when the text is over; an open code fence is closed."""
        done = ""
        if self._held or self._line:
            done += self._whole(self._held)[:-1]
        self._held = ""
        done += self._flush_table().rstrip("\n") if self._table else ""
        if self._fence:
            done += f"\n{self._fence}"
            self._fence = ""
        return done

    def _whole(self, rest: str) -> str:
        """The rest of a line that has ended."""
        line, begun = self._line + rest, bool(self._line)
        self._line = ""
        if not begun:
            if not self._fence and _ROW.match(line):
                self._table.append(line)
                return ""
            done = self._flush_table()
        else:
            done = ""
        fenced = self._fence
        self._fence = fence_after(self._fence, line)
        if fenced or self._fence:
            shown = neutralise(rest)
        else:
            shown = joined(join_parts(self._given, sanitize_inline(rest))).removeprefix(self._shown)
        self._given = self._shown = ""
        return done + shown + "\n"

    def _part(self) -> str:
        """As much of an unfinished line as cannot change any more."""
        if not self._line:
            start = self._held.lstrip(" ")
            # A table's row, or perhaps a fence: wait for the whole line.
            if not start or (not self._fence and start[0] in "|`~") or (self._fence and start[0] in "`~"):
                return ""
        cut = stable_length(self._held)
        if not cut:
            return ""
        ready, self._held = self._held[:cut], self._held[cut:]
        done = "" if self._line else self._flush_table()
        self._line += ready
        if self._fence:
            return done + neutralise(ready)
        self._given = join_parts(self._given, sanitize_inline(ready))
        before, self._shown = self._shown, joined(decided(self._given))
        return done + self._shown.removeprefix(before)

    def _flush_table(self) -> str:
        rows, self._table = self._table, []
        if len(rows) < 2 or not _RULE.match(rows[1]):
            return "".join(joined(sanitize_inline(row)) + "\n" for row in rows)
        return "```\n" + "".join(line + "\n" for line in _aligned(rows)) + "```\n"


def _aligned(rows: list[str]) -> list[str]:
    cells = [[neutralise(c).strip().replace("```", "") for c in _cells(row)] for row in rows]
    del cells[1]
    count = max(map(len, cells))
    cells = [row + [""] * (count - len(row)) for row in cells]
    widths = [max(_width(row[i]) for row in cells) for i in range(count)]
    lines = [" | ".join(c + " " * (w - _width(c)) for c, w in zip(row, widths, strict=True)) for row in cells]
    lines.insert(1, "-+-".join("-" * w for w in widths))
    return [line.rstrip() for line in lines]


def _cells(row: str) -> list[str]:
    return re.split(r"(?<!\\)\|", row.strip()[1:-1])


def _width(text: str) -> int:
    """Columns in a monospaced font: Chinese characters take two."""
    return sum(
        2 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) else 1 for c in text
    )

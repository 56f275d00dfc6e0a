"""What commands read: texts, typed or piped, and CSV files. What cannot be read is told with the mend."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.cli.model import UsageError

_CONVERT = "convert it first, for example from GB18030: iconv -f GB18030 -t UTF-8"


@dataclass(frozen=True)
class Table:
    """A CSV file: its header, and rows with as many cells as that, each with its line's number."""

    columns: list[str]
    rows: list[list[str]]
    lines: list[int]

    def column(self, name: str) -> list[str]:
        """The cells of the column `name`."""
        at = self.columns.index(name)
        return [row[at] for row in self.rows]


def check_text(text: str, where: str = "the text") -> str:
    """`text`, if all its bytes were characters. Raises UsageError."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise UsageError(f"{where} is not {sys.getfilesystemencoding().upper()}: {_CONVERT}")
    return text


def read_table(source: str, *needed: str) -> Table:
    """The CSV in a file, `-` for standard input.

    Raises UsageError where it cannot be read, would lose cells, or has not each column of `needed` once.
    """
    name = "standard input" if source == "-" else source
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as problem:
        raise UsageError(f"{name} cannot be read: {problem.strerror}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        raise UsageError(f"{name}, line {line} is not UTF-8: {_CONVERT}") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = next(reader, [])
        _check_columns(name, columns, needed)
        rows, lines = [], []
        for row in reader:
            if len(row) > len(columns) and any(row[len(columns) :]):
                raise UsageError(
                    f"{name}, line {reader.line_num} has {len(row)} cells, and the header {len(columns)}: "
                    'write a text with commas in quotes, "like, this"'
                )
            if row:
                rows.append((row + [""] * len(columns))[: len(columns)])
                lines.append(reader.line_num)
    except csv.Error as problem:
        raise UsageError(f"{name}, line {reader.line_num} is no CSV: {problem}") from None
    return Table(columns, rows, lines)


def _check_columns(source: str, columns: Sequence[str], needed: Sequence[str]) -> None:
    for name in needed:
        if columns.count(name) > 1:
            raise UsageError(f"{source} has two columns `{name}`: rename one of them")
        if name not in columns:
            mend = ""
            if len(columns) == 1 and any(mark in columns[0] for mark in ";\t|"):
                mend = "; separate the columns by commas"
            found = ", ".join(columns) or "none"
            raise UsageError(f"{source} has no column `{name}`; it has: {found}{mend}")

"""What the bot writes into Slack pings nobody, renders there, and fits: pure functions on text."""

from __future__ import annotations

import re
import unicodedata

JOINER = "\u2060"  # invisible, breaks a mention where it stands
LIMIT = 3_500  # characters of one message: under every limit Slack has for text
_SOFT = 0.7  # a message this full ends at the next paragraph

# What Slack acts on, written by a model or typed by a person: a mention or broadcast, the beginning
# of one, a broadcast's bare word, a picture.
_RISK = re.compile(r"<([!@#])([^<>\n]{0,80})>|<(?=[!@#])|@(?=channel|here|everyone)|!(?=\[)", re.IGNORECASE)
# The end of a text that could still become one of the above.
_OPEN = re.compile(r"(?:<|<[!@#][^<>\n]{0,80}|@[A-Za-z]{0,8}|!)$")

_FENCE = re.compile(r" {0,3}(`{3,8}(?!`)|~{3,8}(?!~))")
_ROW = re.compile(r"\s*\|.*\|\s*$")
_RULE = re.compile(r"\s*\|(\s*:?-+:?\s*\|)+\s*$")


def neutralise(text: str) -> str:
    """The same text to the eye, with no mention, broadcast or picture left that Slack would act on."""
    return _RISK.sub(_harmless, text)


def echo(text: str, most: int = 2_000) -> str:
    """Somebody's text as a quotation in Slack's mrkdwn, shortened to `most` characters."""
    text = text.strip()
    if len(text) > most:
        text = text[: most - 1] + "…"
    safe = neutralise(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "\n".join("> " + line for line in safe.splitlines())


def escape(text: str) -> str:
    """One line of anybody's text inside mrkdwn: no mention, no markup, no line break."""
    flat = " ".join(neutralise(text).split())
    flat = re.sub(r"([*_~`])", JOINER + r"\1", flat)
    return flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def clean(text: str) -> str:
    """A whole answer of the model as Markdown that Slack renders; see Cleaner."""
    cleaner = Cleaner()
    return cleaner.feed(text) + cleaner.end()


class Cleaner:
    """The model's Markdown made fit for Slack, piece by piece; the pieces' sizes change nothing.

    Mentions are neutralised, pictures become links, and tables become aligned text in a code fence,
    since streamed messages show no tables. A table is held back until it is complete.
    """

    def __init__(self) -> None:
        self._held = ""
        self._line = ""  # the current line as far as it was given out
        self._fence = ""
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
        self._fence = fence_after(self._fence, line)
        return done + neutralise(rest) + "\n"

    def _part(self) -> str:
        """As much of an unfinished line as cannot change any more."""
        if not self._line:
            start = self._held.lstrip(" ")
            # A table's row, or perhaps a fence: wait for the whole line.
            if not start or (not self._fence and start[0] in "|`~") or (self._fence and start[0] in "`~"):
                return ""
        match = _OPEN.search(self._held)
        cut = match.start() if match else len(self._held)
        if not cut:
            return ""
        ready, self._held = self._held[:cut], self._held[cut:]
        done = "" if self._line else self._flush_table()
        self._line += ready
        return done + neutralise(ready)

    def _flush_table(self) -> str:
        rows, self._table = self._table, []
        if len(rows) < 2 or not _RULE.match(rows[1]):
            return "".join(neutralise(row) + "\n" for row in rows)
        return "```\n" + "".join(line + "\n" for line in _aligned(rows)) + "```\n"


class Pager:
    """Cuts text into messages of at most `limit` characters while it arrives.

    A message ends at a paragraph once it is well filled; a code fence that fits into one message is
    not cut, and a longer one is closed and opened again. Feed it whole lines or parts of them.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._size = 0  # of the message so far
        self._line = ""  # the line that has not ended
        self._fence = ""  # open before that line
        self._fresh = True  # nothing but an opened fence is in the message
        self._blank = False  # the last whole line was empty

    def feed(self, text: str) -> list[str]:
        """Pieces to add to the message; each one after the first begins a new message."""
        pages = [""]
        for part in text.splitlines(keepends=True):
            self._add(part, pages)
        return pages

    def end(self) -> str:
        """What closes the last message."""
        fence = fence_after(self._fence, self._line)
        return ("\n" if self._line else "") + fence if fence else ""

    def _add(self, part: str, pages: list[str]) -> None:
        while part:
            if not self._line and self._turns(part):
                self._next(pages)
            # Room for closing a fence is kept free.
            fence = self._fence or _run(self._line + part)
            room = self._limit - self._size - (len(fence) + 1 if fence else 0)
            if len(part) <= room:
                self._take(part, pages)
                return
            cut = _good_cut(part, room)
            if not cut and not self._fresh:
                self._next(pages)
                continue
            cut = cut or max(1, room)
            self._take(part[:cut], pages)
            part = part[cut:]
            if part:
                self._next(pages)

    def _turns(self, line: str) -> bool:
        """Whether a new message should begin before this line."""
        if self._fence or self._fresh:
            return False
        full = self._size / self._limit
        return (self._blank and full > _SOFT) or (bool(_run(line)) and full > 1 - _SOFT)

    def _take(self, text: str, pages: list[str]) -> None:
        pages[-1] += text
        self._size += len(text)
        self._line += text
        self._fresh = False
        if text.endswith("\n"):
            self._fence = fence_after(self._fence, self._line[:-1])
            self._blank = not self._line.strip()
            self._line = ""

    def _next(self, pages: list[str]) -> None:
        pages[-1] += self.end()
        self._fence = fence_after(self._fence, self._line)
        pages.append(self._fence + "\n" if self._fence else "")
        self._size = len(pages[-1])
        self._line, self._blank, self._fresh = "", False, True


def split(text: str, limit: int = LIMIT) -> list[str]:
    """A whole text as messages of at most `limit` characters; see Pager. [] for nothing."""
    pager = Pager(limit)
    pages = pager.feed(text)
    pages[-1] += pager.end()
    return [page.strip("\n") for page in pages if page.strip()]


def fence_after(fence: str, line: str) -> str:
    """The code fence that is open after `line`, when `fence` was open before it ("" is none)."""
    match = _FENCE.match(line)
    if match is None:
        return fence
    if not fence:
        # A backtick after the opening means inline code, not a fence.
        return match[1] if match[1][0] == "~" or "`" not in line[match.end() :] else ""
    closes = match[1][0] == fence[0] and len(match[1]) >= len(fence) and not line[match.end() :].strip()
    return "" if closes else fence


def _run(line: str) -> str:
    """The backticks or tildes with which this line could open a fence."""
    match = _FENCE.match(line)
    return match[1] if match else ""


def mrkdwn(text: str) -> str:
    """Cleaned Markdown as the short text of a notification, where Slack shows no blocks."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"\*\*(.+?)\*\*", r"*\1*", text)
    text = re.sub(r"(?m)^#{1,6}\s+(.+)$", r"*\1*", text)
    text = re.sub(r"\[([^\]\n]+)\]\((https?://[^)\s]+)\)", r"<\2|\1>", text)
    return re.sub(r"(?m)^(\s*)[-*+]\s+", r"\1• ", text)


def _harmless(match: re.Match[str]) -> str:
    found = match[0]
    if found == "!":
        return ""
    kind, rest = match[1], match[2]
    if kind is None:
        return found + JOINER
    name, _, label = rest.partition("|")
    shown = neutralise(label or name.removeprefix("subteam^"))
    if kind == "!" and name.startswith("date^"):
        return shown
    return ("#" if kind == "#" else "@") + JOINER + shown.lstrip("@#!" + JOINER)


def _good_cut(text: str, room: int) -> int:
    """Where to cut `text` so that at most `room` characters stay: after a sentence or word; 0 is nowhere."""
    if room <= 0:
        return 0
    head = text[:room]
    for pattern in (r"[。！？.!?]\s?", r"\s"):
        ends = [match.end() for match in re.finditer(pattern, head)]
        if ends and ends[-1] > room // 2:
            return ends[-1]
    return 0


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

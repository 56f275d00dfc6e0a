"""A long answer becomes several messages that each fit, cut at paragraphs, with their code fences whole."""

from __future__ import annotations

import re

LIMIT = 3_500  # characters of one message: under every limit Slack has for text
_SOFT = 0.7  # a message this full ends at the next paragraph
_FENCE = re.compile(r" {0,3}(`{3,8}(?!`)|~{3,8}(?!~))")


class MessageSplitter:
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
        for part in re.findall(r"[^\n]*\n|[^\n]+", text):
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
    """A whole text as messages of at most `limit` characters; see MessageSplitter. [] for nothing."""
    splitter = MessageSplitter(limit)
    pages = splitter.feed(text)
    pages[-1] += splitter.end()
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

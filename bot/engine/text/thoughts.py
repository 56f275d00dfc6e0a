"""What a reasoning model thinks aloud before its answer (`<think>…</think>`), taken out of a stream."""

from __future__ import annotations

import re

_TAGS = ("think", "thinking", "thought", "reasoning")
_OPENING = re.compile(f"<({'|'.join(_TAGS)})>", re.IGNORECASE)
_CLOSING = re.compile(f"</({'|'.join(_TAGS)})>", re.IGNORECASE)
_LONGEST = max(map(len, _TAGS)) + len("</>")
OPENED = re.compile(rf"<({'|'.join(_TAGS)})>\s*\Z", re.IGNORECASE)  # a prompt that has begun a thought


class ThoughtFilter:
    """Lets an answer through without the thoughts at its beginning, and without the white space behind them.

    A tag further on is text: the answer speaks of it. A thought that never ends leaves no answer.
    inside: the name of the tag with which the prompt has begun a thought, "" for none.
    begun: the prompt has begun the answer itself, which no thought can precede any more.
    hidden: a thought may have begun unseen, by a tag in another server's template. All is held back
        (`waiting`) until a tag closes it (`unopened`) or the answer ends.
    """

    def __init__(self, inside: str = "", *, begun: bool = False, hidden: bool = False) -> None:
        self._inside = "" if begun else inside
        self.waiting = hidden and not begun
        self.unopened = False
        self._held = ""
        self._answering, self._thought = begun, False

    def push(self, piece: str) -> str:
        """The part of the answer that `piece` settles, possibly empty."""
        if self._answering:
            return piece
        self._held += piece
        while True:
            if self._inside:
                end = re.search(f"</{self._inside}>", self._held, re.IGNORECASE)
                if end is None:
                    self._held = self._held[-_LONGEST:]
                    return ""
                self._held, self._inside, self._thought = self._held[end.end() :], "", True
            text = self._held.lstrip()
            if opening := _OPENING.match(text):
                self._held, self._inside, self.waiting = text[opening.end() :], opening[1], False
            elif any(f"<{tag}>".startswith(text[:_LONGEST].lower()) for tag in _TAGS):
                return ""  # it may become one
            elif self.waiting:
                unsearched = max(0, len(self._held) - len(piece) - _LONGEST)
                end = _CLOSING.search(self._held, unsearched)
                if end is None:
                    return ""
                self._held, self.waiting = self._held[end.end() :], False
                self._thought = self.unopened = True
            else:
                self._answering = True
                return self.flush()

    def flush(self) -> str:
        """What was held back, at the answer's end."""
        held, self._held = self._held, ""
        if self._inside:
            return ""
        return held.lstrip() if self._thought else held

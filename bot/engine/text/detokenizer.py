"""Token ids, one at a time, to text in whole characters; stop strings are held back and cut off."""

from __future__ import annotations

from collections.abc import Sequence

from bot.engine.text.chat_template import ChatTokenizer

_UNFINISHED = "\ufffd"


class Detokenizer:
    """The text of one answer as it is decoded.

    `push` returns what is certain: never half a character, never the beginning of a stop string.
    After `stopped` becomes true nothing more comes; `flush` gives what was held back.
    """

    def __init__(self, tokenizer: ChatTokenizer, stop: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer
        self._stop = [text for text in stop if text]
        self._ids: list[int] = []
        self._start = 0  # ids before this one are settled; they are decoded along only as context
        self._settled = ""
        self._held = ""
        self.stopped = False

    def push(self, token: int) -> str:
        """The new text that `token` settles, possibly empty."""
        if self.stopped:
            return ""
        self._ids.append(token)
        text = self._tokenizer.decode(self._ids[self._start :])
        if text.endswith(_UNFINISHED) and len(self._ids) - self._start < 16:
            return ""
        new = text[len(self._settled) :]
        # Decoders drop a leading space at the start of a sequence, so one settled token stays as context.
        self._start = len(self._ids) - 1
        self._settled = self._tokenizer.decode(self._ids[self._start :])
        return self._release(new)

    def flush(self) -> str:
        """What is left at the end of the answer; an unfinished character is dropped."""
        if self.stopped:
            return ""
        text = self._tokenizer.decode(self._ids[self._start :])
        new = text[len(self._settled) :].rstrip(_UNFINISHED) if len(text) > len(self._settled) else ""
        out = self._release(new) + self._held if not self.stopped else ""
        self._held = ""
        return out

    def _release(self, new: str) -> str:
        text = self._held + new
        for stop in self._stop:
            at = text.find(stop)
            if at >= 0:
                self.stopped = True
                text = text[:at]
        if self.stopped:
            self._held = ""
            return text
        keep = max((_overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` could begin `stop`."""
    for size in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0

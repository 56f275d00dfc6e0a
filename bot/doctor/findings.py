"""One line of the doctor's report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "broken"]
MARKS = {"ok": "✓", "warning": "!", "broken": "✗"}


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is, and what mends it where something is wrong."""

    subject: str
    state: State
    said: str
    mend: str = ""

    def line(self) -> str:
        """The finding as it is printed."""
        mend = f": {self.mend}" if self.mend else ""
        return f"{MARKS[self.state]} {self.subject:<10} {self.said}{mend}"


def fine(subject: str, said: str) -> Finding:
    """Nothing is wrong."""
    return Finding(subject, "ok", said)


def doubtful(subject: str, said: str, mend: str) -> Finding:
    """It works, not as well as it could."""
    return Finding(subject, "warning", said, mend)


def broken(subject: str, said: str, mend: str = "") -> Finding:
    """The bot cannot run like this. `mend` is empty where `said` is an error that tells it itself."""
    return Finding(subject, "broken", said, mend)

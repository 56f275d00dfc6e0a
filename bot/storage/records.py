"""What is read from the database and written to it, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Turn:
    """One thing said. `at` is in seconds since 1970; `ts` is the question's id, also on its answer."""

    speaker: str  # user or assistant
    text: str
    author: str | None = None
    author_id: str | None = None
    ts: str | None = None
    at: float = 0.0
    role: str = "chat"


@dataclass(frozen=True)
class Thread:
    """What is remembered of a thread beside its turns."""

    thread: str
    owner: str | None = None
    joined: bool = False
    trimmed: bool = False
    forgotten_at: float | None = None


@dataclass(frozen=True)
class Request:
    """One accepted request. `key` is unique for the thing asked; those of one `thread` keep their order."""

    key: str
    thread: str
    kind: str
    payload: dict[str, Any] | None  # None where a stored one is no JSON any more
    user: str | None = None
    state: str = "received"
    answer_ts: str | None = None
    problem: str | None = None
    received_at: float = 0.0


@dataclass(frozen=True)
class Feedback:
    """A thumb up (1) or down (-1) by one person on one answer, with what was asked and answered."""

    thread: str
    answer_ts: str
    user: str
    verdict: int
    question: str | None
    answer: str | None
    at: float


@dataclass(frozen=True)
class UserSettings:
    """A person's choices; None is the bot's default."""

    language: str | None = None
    neutral: bool | None = None
    follow: bool | None = None

"""One request on its way to an answer, and the refusal of one too many."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from bot.inbox.payloads import Payload
from bot.storage import Request

P_co = TypeVar("P_co", bound=Payload, covariant=True)


class InboxFull(Exception):
    """Too many requests are waiting, of all or of this person or channel; nothing was stored.

    tell: whether to tell the person; False when that was done within the last minute.
    """

    def __init__(self, tell: bool = True) -> None:
        super().__init__("too many requests are waiting")
        self.tell = tell


@dataclass
class Job(Generic[P_co]):
    """One request on its way to an answer, with its decoded payload."""

    request: Request
    payload: P_co
    age: float = 0.0  # seconds old when this process took it up
    resumed: bool = False  # it may have been begun before: look for what stands in Slack
    dropped: bool = False  # set by the answerer: it was no request after all
    place: int = 0  # how many are ahead of it; 0 once it is being answered
    stop: asyncio.Event = field(default_factory=asyncio.Event)  # set when a person wants no more of it
    outdated: bool = False  # its message was edited or deleted: what is being written is not wanted any more
    withdrawn: bool = False  # its message was deleted
    posted: str | None = None  # the ts of the message that holds the answer
    since: float = field(default_factory=time.monotonic)

    @property
    def key(self) -> str:
        """The request's unique key."""
        return self.request.key

    @property
    def user(self) -> str:
        """Whose share of the queue it counts for."""
        return self.request.user or ""

    @property
    def channel(self) -> str:
        """Which channel's share of the queue it counts for."""
        return self.payload.channel or self.request.thread

    def late(self, seconds: float) -> bool:
        """Whether it is older than `seconds`, the time while the bot did not run included."""
        return self.age + time.monotonic() - self.since > seconds

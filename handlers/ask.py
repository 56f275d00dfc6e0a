"""What somebody asked in a thread: the request that every surface makes of a message."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bot.storage import Request
from handlers.context import thread_key, user_key


@dataclass(frozen=True)
class Ask:
    """What somebody asked in a thread. `ts` is the message that asks, `message` what Slack sent of it."""

    team: str
    channel: str
    ts: str
    thread_ts: str
    user: str
    message: dict[str, Any]
    surface: str  # mention, thread, direct, assistant or command
    again: int = 0  # how often this has been asked anew
    replaces: str = ""  # key of the request whose answer the new one takes the place of

    @property
    def key(self) -> str:
        """One message is one request, however often and in whatever event Slack tells of it."""
        again = f":{self.again}" if self.again else ""
        return f"message:{self.team}:{self.channel}:{self.ts}{again}"

    @property
    def thread(self) -> str:
        """The conversation's key."""
        return thread_key(self.team, self.channel, self.thread_ts)

    def request(self, kind: str) -> Request:
        """The request to store."""
        return Request(self.key, self.thread, kind, asdict(self), user_key(self.team, self.user))

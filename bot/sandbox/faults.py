"""Every switch that makes the sandbox misbehave as Slack and networks do. Off unless a test turns it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field


@dataclass
class Fault:
    """How the next `times` calls of a method go wrong.

    status: an HTTP status other than 200 (429 has `retry_after` seconds, 500 has no JSON body).
    error: an error name in a normal answer. delay: seconds waited first.
    hang: seconds nothing is said, then the connection is cut.
    after: the method does its work and only the answer is lost (with status or hang).
    """

    times: int = 1
    status: int = 200
    error: str = ""
    retry_after: int = 1
    delay: float = 0.0
    hang: float = 0.0
    after: bool = False


@dataclass
class Faults:
    """The switches of one sandbox.

    ack_seconds: how long an envelope may stay unacknowledged.
    retry_delays: seconds before each redelivery of an event; Slack's are at once, a minute, five minutes.
    deaf: no connection is chosen for any envelope, and events are lost without a retry.
    refuse_sockets: apps.connections.open fails with this error name while it is set.
    """

    ack_seconds: float = 3.0
    retry_delays: tuple[float, ...] = (0.0, 60.0, 300.0)
    deaf: bool = False
    refuse_sockets: str = ""
    methods: dict[str, list[Fault]] = field(default_factory=dict)

    def answer(self, method: str, fault: Fault) -> None:
        """Queue a fault for a method's next calls; "*" is any method."""
        self.methods.setdefault(method, []).append(fault)

    def take(self, method: str) -> Fault | None:
        """The fault of this call, used up by one."""
        for name in (method, "*"):
            queue = self.methods.get(name, [])
            if queue:
                fault = queue[0]
                fault.times -= 1
                if fault.times <= 0:
                    queue.pop(0)
                return fault
        return None

    def clear(self) -> None:
        """Everything works again."""
        vars(self).update(vars(Faults()))

    async def pause(self, seconds: float) -> None:
        """Wait, as a slow network does."""
        if seconds > 0:
            await asyncio.sleep(seconds)

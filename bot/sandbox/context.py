"""What every part of the server is handed: the workspace, the app, the sockets and the switches."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from bot.sandbox.faults import Faults
from bot.sandbox.links import Links
from bot.sandbox.manifest import App
from bot.sandbox.socket import Sockets
from bot.sandbox.workspace import Workspace


@dataclass(frozen=True)
class Call:
    """One Web API call as it was answered, for tests to look at. `at` is seconds since the epoch."""

    method: str
    arguments: dict[str, Any]
    answer: dict[str, Any]
    at: float


@dataclass
class Context:
    """One running sandbox."""

    workspace: Workspace
    app: App
    faults: Faults
    sockets: Sockets
    links: Links
    bot_token: str
    app_token: str
    base_url: str = ""
    calls: deque[Call] = field(default_factory=lambda: deque(maxlen=5000))
    lost: list[dict[str, Any]] = field(default_factory=list)  # events never acknowledged
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    deliveries: set[asyncio.Task[Any]] = field(default_factory=set)  # not acknowledged yet

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run `work` beside everything else; it is cancelled when the sandbox stops."""
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def deliver(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run `work`, which tells the app something, beside everything else."""
        task = self.start(work)
        self.deliveries.add(task)
        task.add_done_callback(self.deliveries.discard)

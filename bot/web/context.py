"""What the web handlers share: the settings, the services once they are open, what is ready."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web

from bot.app.services import Services
from bot.app.supervision import unless
from bot.roles import Role
from bot.web.errors import Refused, stopping
from config.settings import Settings
from config.strings import language_of_header

T = TypeVar("T")


@dataclass
class Opening:
    """A bot whose page and API answer already while it loads; `services` is set when it is open.

    roles: those that it will have, known before the model is.
    """

    settings: Settings
    services: Services | None = None
    roles: Mapping[str, Role] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """One web application's shared parts.

    ready: which parts are ready, by name. strings: the directory of the page's strings.
    stopping: set when the bot is about to end and whoever still waits has to be told so.
    """

    opening: Opening
    ready: Callable[[], dict[str, bool]]
    strings: Path
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def services(self) -> Services:
        """The services. Raises Refused (503) while they are being opened."""
        if self.opening.services is None:
            raise Refused(503, "loading", "the model is still loading", retry_after=3)
        return self.opening.services


async def unless_stopping(request: web.Request, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives. Raises Refused (503) where the bot ends before that, and what `work` raises."""
    working = asyncio.ensure_future(work)
    if not await unless(request.app[CONTEXT].stopping, working):
        raise stopping()
    return working.result()


def reader_language(request: web.Request) -> str:
    """The catalogue's language that the browser prefers."""
    return language_of_header(request.headers.get("Accept-Language", ""), request.app[CONTEXT].strings)


CONTEXT: web.AppKey[Context] = web.AppKey("context", Context)

"""What the web handlers share: the settings, the services once they are open, what is ready."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from bot.app.services import Services
from bot.roles import Role
from bot.web.errors import Refused
from config.settings import Settings


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
    """

    opening: Opening
    ready: Callable[[], dict[str, bool]]
    strings: Path

    @property
    def services(self) -> Services:
        """The services. Raises Refused (503) while they are being opened."""
        if self.opening.services is None:
            raise Refused(503, "loading", "the model is still loading", retry_after=3)
        return self.opening.services


CONTEXT: web.AppKey[Context] = web.AppKey("context", Context)

"""What the web handlers share: the settings, the services once they are open, what is ready."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from bot.roles import Role
from bot.services import Services
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
    """One web application's shared parts. `ready` tells of each part by name."""

    opening: Opening
    ready: Callable[[], dict[str, bool]]

    @property
    def settings(self) -> Settings:
        """The settings, there from the start."""
        return self.opening.settings

    @property
    def services(self) -> Services:
        """The services. Raises Refused (503) while they are being opened."""
        if self.opening.services is None:
            raise Refused(503, "loading", "the model is still loading", retry_after=3)
        return self.opening.services


CONTEXT: web.AppKey[Context] = web.AppKey("context", Context)

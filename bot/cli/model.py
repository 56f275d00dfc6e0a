"""What commands ask: the engine, open while a command needs it, and a role of the kind it needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from bot.engine import Engine
from bot.engine.factory import open_engine
from bot.models import find_checked_model
from bot.roles import Role
from config.settings import Settings


class UsageError(ValueError):
    """The command line asks for something that is not there; the message says the mend."""


@asynccontextmanager
async def opened_engine(settings: Settings) -> AsyncIterator[tuple[Engine, Path | None]]:
    """The engine the settings ask for, and its model directory (None for LLM_URL)."""
    directory = find_checked_model(settings)
    engine = open_engine(settings, directory)
    try:
        yield engine, directory
    finally:
        await engine.close()


def role_named(roles: Mapping[str, Role], name: str, *, classifies: bool) -> str:
    """`name`, if there is such a role. Raises UsageError naming those that there are."""
    known = [each.name for each in roles.values() if each.classifies == classifies]
    if name not in known:
        what = "with labels" if classifies else "that answers in words"
        raise UsageError(f"there is no role {name!r} {what}; there are: {', '.join(known)}")
    return name

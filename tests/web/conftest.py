"""A site for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from running_site import ScriptedEngine, Site, open_site

from bot.roles import Role


@pytest.fixture
async def site(tmp_path: Path, roles: dict[str, Role]) -> AsyncIterator[Site]:
    """The page and API over an engine that says what the test wants."""
    async with open_site(tmp_path, ScriptedEngine(), roles) as opened:
        yield opened

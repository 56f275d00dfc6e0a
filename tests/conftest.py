"""What the tests share: the starter model and one engine over it, opened once a run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from bot.engine import Engine
from bot.engine.opening import open_engine
from bot.roles import Role, load_roles
from config.settings import ROOT, Settings


@pytest.fixture(scope="session")
def model_dir() -> Path:
    """The starter model, put there by `make test`."""
    directory = ROOT / "models" / "starter"
    if not (directory / "model.safetensors").is_file():
        pytest.skip("no starter model: run `python -m bot fetch starter`")
    return directory


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def engine(model_dir: Path) -> AsyncIterator[Engine]:
    """The real engine over the starter model."""
    opened = open_engine(model_dir, Settings())
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def roles() -> dict[str, Role]:
    """The roles that ship."""
    return load_roles()

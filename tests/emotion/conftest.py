"""The real roles over the real starter model."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.emotion import Emotions
from bot.engine import Engine
from bot.roles import Role


@pytest.fixture(scope="session")
def emotions(engine: Engine, roles: dict[str, Role], model_dir: Path) -> Emotions:
    """The classifier as every surface uses it."""
    return Emotions(engine, roles, model_dir)

"""The real roles over the real starter model."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.emotion import EmotionClassifier
from bot.engine import Engine
from bot.roles import Role


@pytest.fixture(scope="session")
def classifier(engine: Engine, roles: dict[str, Role], model_dir: Path) -> EmotionClassifier:
    """The classifier as every surface uses it."""
    return EmotionClassifier(engine, roles, model_dir)

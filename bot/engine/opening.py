"""Which engine the settings ask for, opened."""

from __future__ import annotations

from pathlib import Path

from bot.engine.interface import Engine
from config.settings import Settings


def open_engine(directory: Path, settings: Settings) -> Engine:
    """The local engine over `directory`. Blocking: it reads the weights."""
    from bot.engine.reference import ReferenceEngine

    return ReferenceEngine(directory, context_tokens=settings.context_tokens)

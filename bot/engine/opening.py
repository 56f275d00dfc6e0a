"""Which engine the settings ask for, opened."""

from __future__ import annotations

from pathlib import Path

from bot.engine.interface import Engine
from config.settings import Settings


def open_engine(directory: Path, settings: Settings) -> Engine:
    """The local engine over `directory`. Blocking: it reads the weights. Raises EngineError with the mend."""
    from bot.engine.local import LocalEngine

    return LocalEngine(
        directory,
        precision=settings.precision,
        threads=settings.threads,
        context_tokens=settings.context_tokens,
        cache_mb=settings.cache_mb,
        max_queue=settings.max_queue,
    )

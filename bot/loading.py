"""From settings to an engine: the model directory found and checked, or the other server's address."""

from __future__ import annotations

from pathlib import Path

from bot.engine import Engine
from config.settings import Settings


def load_engine(settings: Settings) -> tuple[Engine, Path | None]:
    """The engine the settings ask for, and its model directory (None for LLM_URL). Blocking.

    Raises ModelError or EngineError with the mend.
    """
    if settings.llm_url:
        from bot.engine.remote import RemoteEngine

        return RemoteEngine(
            settings.llm_url,
            model=settings.llm_model,
            api_key=settings.llm_api_key,
            context_tokens=settings.context_tokens,
        ), None
    from bot.engine.opening import open_engine
    from bot.models import check_model, find_model

    directory = find_model(settings)
    check_model(directory, tokenizer=False)
    return open_engine(directory, settings), directory

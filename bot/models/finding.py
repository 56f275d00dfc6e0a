"""Which model directory the bot uses."""

from __future__ import annotations

from pathlib import Path

from bot.models.catalogue import CATALOGUE, MODELS
from bot.models.errors import ModelError
from config.settings import Settings


def find_model(settings: Settings) -> Path:
    """MODEL_DIR, else the catalogue's first model that is under models/. Raises ModelError."""
    if settings.model_dir is not None:
        return settings.model_dir
    for name in CATALOGUE:
        if (MODELS / name).is_dir():
            return MODELS / name
    raise ModelError("there is no model yet: run `python -m bot fetch`, or set MODEL_DIR to a directory")

"""Which model directory the bot uses, and whether it is whole enough to be opened."""

from __future__ import annotations

from pathlib import Path

from config.settings import ROOT, Settings

MODELS = ROOT / "models"
NAMES = ("qwen1.5-0.5b-chat", "starter")  # the first that is there is used
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")


class ModelError(RuntimeError):
    """A model directory that cannot be used; the message names the file and the mend."""


def find_model(settings: Settings) -> Path:
    """MODEL_DIR, else the first of the known directories that exists. Raises ModelError."""
    if settings.model_dir is not None:
        return settings.model_dir
    for name in NAMES:
        if (MODELS / name).is_dir():
            return MODELS / name
    raise ModelError("there is no model yet: run `python -m bot fetch`, or set MODEL_DIR to a directory")


def check_model(directory: Path) -> None:
    """Raise ModelError unless `directory` has the files that every model needs."""
    if not directory.is_dir():
        raise ModelError(f"{directory} is not a directory: run `python -m bot fetch`, or correct MODEL_DIR")
    for name in ("config.json", "tokenizer.json"):
        if not (directory / name).is_file():
            raise ModelError(f"{directory / name} is missing: put the model's own file there")
    if not any((directory / name).is_file() for name in _WEIGHTS):
        raise ModelError(f"{directory} has no weights: one of {', '.join(_WEIGHTS)} must be there")

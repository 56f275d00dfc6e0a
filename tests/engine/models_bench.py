"""What the engine's tests take from elsewhere: the small random models and the quality measurement."""

from __future__ import annotations

import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(_ROOT / "tests" / "models"), str(_ROOT / "benchmarks")]

from quality import TEXT, Predictions, predict  # noqa: E402  the paths come first
from small_models import random_model, vocabulary, write_directory  # noqa: E402

from bot.models.vocabulary import write_tokenizer  # noqa: E402

__all__ = [
    "TEXT",
    "Predictions",
    "predict",
    "random_model",
    "vocabulary",
    "write_directory",
    "write_tokenizer",
]

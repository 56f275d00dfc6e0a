"""The small random models of tests/models and the mission's shape of benchmarks, for the engine's tests."""

from __future__ import annotations

import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(_ROOT / "tests" / "models"), str(_ROOT / "benchmarks")]

from small_models import random_model, vocabulary, write_directory  # noqa: E402  the paths come first

from bot.models.vocabulary import write_tokenizer  # noqa: E402

__all__ = ["random_model", "vocabulary", "write_directory", "write_tokenizer"]

"""What the engine's tests take from elsewhere: small random models, shapes and measurements."""

from __future__ import annotations

import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(_ROOT / "tests" / "models"), str(_ROOT / "benchmarks")]

from engine_models import MISSION  # noqa: E402  the paths come first
from hub_directory import write_hub_directory  # noqa: E402  the paths come first
from off_grid import off_grid  # noqa: E402  the paths come first
from quality import TEXT, Predictions, predict  # noqa: E402  the paths come first
from small_models import random_model, vocabulary, write_directory, write_gguf, write_tokenizer  # noqa: E402  the paths come first

__all__ = [
    "MISSION",
    "TEXT",
    "Predictions",
    "off_grid",
    "predict",
    "random_model",
    "vocabulary",
    "write_directory",
    "write_gguf",
    "write_hub_directory",
    "write_tokenizer",
]

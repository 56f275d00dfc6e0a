"""Which precision the weights have."""

from __future__ import annotations

import os

from bot.engine.config import control_group
from bot.engine.config.model_config import ModelConfig
from bot.engine.errors import EngineError
from config.settings import PRECISIONS

QUANTIZED = ("int8", "int4")
# Bytes beside the weights: what Python, its libraries, the bot and its caches take.
_BESIDE = 500_000_000


def choose_precision(precision: str, config: ModelConfig) -> str:
    """`precision`, or for `auto` int8, which answers as float32 does, and int4 where memory is short.

    Raises EngineError for a name that is none.
    """
    if precision in PRECISIONS:
        return precision
    if precision != "auto":
        raise EngineError(f"there is no precision {precision!r}; there are auto, {', '.join(PRECISIONS)}")
    return "int4" if config.num_parameters + _BESIDE > _memory() else "int8"


def _memory() -> int:
    """Bytes of memory that this process may have."""
    all_memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(all_memory, control_group.memory() or all_memory)

"""Which precision the weights have, and what int4's groups are."""

from __future__ import annotations

import os

from bot.engine.config import processor
from bot.engine.config.model_config import ModelConfig
from bot.engine.errors import EngineError
from config.settings import PRECISIONS

QUANTIZED = ("int8", "int4")
INT4_GROUP = 32  # weights along the input that share one int4 scale
# Bytes beside the weights: what Python, its libraries, the bot and its caches take.
_BESIDE = 700_000_000


def choose_precision(precision: str, config: ModelConfig) -> str:
    """`precision`, or for `auto` what suits this processor and the memory it has.

    int8 answers as float32 does and is the fastest to prefill where 8-bit products are fast;
    int4 where only its kernels use the dot-product instructions, or memory is short.
    Raises EngineError for a name that is none.
    """
    if precision in PRECISIONS:
        return precision
    if precision != "auto":
        raise EngineError(f"there is no precision {precision!r}; there are auto, {', '.join(PRECISIONS)}")
    if _only_int4_is_fast() or config.num_parameters + _BESIDE > _memory():
        return "int4"
    return "int8"


def _only_int4_is_fast() -> bool:
    if "asimddp" not in processor.flags():
        return False
    from bot.engine.config.torch_kernels import has_kleidiai_int4  # torch is imported where it is used only

    return has_kleidiai_int4()


def _memory() -> int:
    """Bytes of memory that this process may have."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:
            limit = file.read().strip()
    except OSError:
        return found
    return min(found, int(limit)) if limit.isdigit() else found

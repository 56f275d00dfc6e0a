"""Which precision the weights have."""

from __future__ import annotations

import os

from bot.engine.config import control_group
from bot.engine.config.model_config import ModelConfig
from bot.engine.errors import EngineError
from config.settings import PRECISIONS

GGUF = "gguf"  # a GGUF file's own blocks
INT4 = "int4"  # the same, of a GGUF file that is made of the model
COMPILED = ("int8", INT4, GGUF)  # what the kernels compute, without torch
# Bytes beside the weights: what Python, its libraries, the bot and its caches take.
_BESIDE = 500_000_000


def choose_precision(precision: str, config: ModelConfig, has_blocks: bool = False) -> str:
    """`precision`, or for `auto` what suits the model: its own blocks where it comes quantized, else int8,
    which answers as float32 does, and int4 where memory is short.

    has_blocks: whether it is a GGUF file that the kernels multiply as it is.
    Raises EngineError for a name that is none, and for blocks that are not there.
    """
    if precision == GGUF and not has_blocks:
        raise EngineError("PRECISION=gguf is for a GGUF file whose blocks can be multiplied: use auto")
    if precision in (*PRECISIONS, GGUF):
        return precision
    if precision != "auto":
        raise EngineError(
            f"there is no precision {precision!r}; there are auto, {', '.join((*PRECISIONS, GGUF))}"
        )
    if has_blocks:
        return GGUF
    return INT4 if config.num_parameters + _BESIDE > _memory() else "int8"


def _memory() -> int:
    """Bytes of memory that this process may have."""
    all_memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(all_memory, control_group.memory() or all_memory)

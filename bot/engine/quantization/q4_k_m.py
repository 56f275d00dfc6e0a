"""Which format each weight has in four bits: the mixture that llama.cpp calls Q4_K_M.

More bits go where errors do most harm: to the LM head, and in the first and the last eighth of the layers and
every third between to the values and the last projection of the mlp.
"""

from __future__ import annotations

from bot.engine.errors import EngineError
from bot.engine.weights.block_formats import GGUF_FORMATS

FEW, MANY = "Q4_K", "Q6_K"
# Rows that are no multiple of 256 have blocks of 32, and a bit or two more.
_SHORT = {FEW: "Q5_0", MANY: "Q8_0"}


def format_of(part: str, inputs: int, num_layers: int) -> str:
    """The name of the format of a projection or the LM head, with rows of `inputs`.

    part: as in `part_sources`, or `embedding` where that is not the LM head as well.
    Raises EngineError for rows that no format has.
    """
    found = MANY if _needs_many(part, num_layers) else FEW
    if inputs % GGUF_FORMATS[found].inputs:
        found = _SHORT[found]
    if inputs % GGUF_FORMATS[found].inputs:
        raise EngineError(f"int4 needs rows of a multiple of 32, and {part} has {inputs}: use PRECISION=int8")
    return found


def _needs_many(part: str, num_layers: int) -> bool:
    if not part.startswith("layers."):
        return part == "head"
    _, number, name = part.split(".")
    layer, eighth = int(number), num_layers // 8
    first_or_last = layer < eighth or layer >= 7 * num_layers // 8
    return name in ("value", "down") and (first_or_last or (layer - eighth) % 3 == 2)

"""The parts of a GGUF file as the decoder takes them: its blocks as they are, turned for the kernels.

`decoder_parts` is the same of a checkpoint in floats.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bot.engine.config.arrays import StoredTensor
from bot.engine.config.model_config import ModelConfig
from bot.engine.errors import EngineError
from bot.engine.weights.block_formats import BLOCK, GGUF_FORMATS, turn
from bot.engine.weights.gguf_checkpoint import GGUFCheckpoint
from bot.engine.weights.parts import KeptPart, part_sources


def other_formats(checkpoint: GGUFCheckpoint, config: ModelConfig) -> dict[str, str]:
    """The matrices that the kernels cannot multiply as they are, by name, and their formats."""
    found = [checkpoint.stored(f"{source}.weight") for _, source in part_sources(checkpoint, config)]
    return {each.name: each.type for each in found if len(each.shape) > 1 and each.type not in GGUF_FORMATS}


def gguf_parts(checkpoint: GGUFCheckpoint, config: ModelConfig) -> Iterator[tuple[str, KeptPart]]:
    """Everything but the embedding, one part at a time: its name, and it as `quantize_part` keeps one.

    Raises EngineError where a tensor is missing, or has a format that the kernels do not multiply.
    """
    for name, source in part_sources(checkpoint, config):
        if len(checkpoint.stored(f"{source}.weight").shape) > 1:
            yield name, _projection(checkpoint, source)
        else:
            yield name, {"": checkpoint.get(f"{source}.weight")}
        checkpoint.release()


def _projection(checkpoint: GGUFCheckpoint, source: str) -> KeptPart:
    tensor = checkpoint.stored(f"{source}.weight")
    if tensor.type not in GGUF_FORMATS:
        raise EngineError(
            f"{checkpoint.files[0]} has {tensor.name} in {tensor.type}, and multiplied as they are only "
            f"{', '.join(GGUF_FORMATS)}: use PRECISION=int8, or the model's Q4_K_M file"
        )
    outputs = tensor.shape[0]
    rows = checkpoint.bytes_of(f"{source}.weight").reshape(outputs, -1)
    kept = {tensor.type: StoredTensor(turn(rows, tensor.type), "U8")}
    if f"{source}.bias" in checkpoint:
        bias = checkpoint.stored_floats(f"{source}.bias")
        kept["bias"] = StoredTensor(np.pad(bias, (0, -outputs % BLOCK)), "F32")
    return kept

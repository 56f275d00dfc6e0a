"""A model as a GGUF file in four bits, which this engine multiplies as it is and llama.cpp reads as well."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from bot.engine.config.arrays import Floats
from bot.engine.config.model_config import ModelConfig
from bot.engine.errors import EngineError
from bot.engine.kernels.quantizer import Quantizer
from bot.engine.quantization.gguf_metadata import add_metadata, rope_factors
from bot.engine.quantization.q4_k_m import format_of
from bot.engine.weights.block_formats import GGUF_FORMATS
from bot.engine.weights.checkpoint import EMBEDDING, Tensors
from bot.engine.weights.gguf_checkpoint import in_pairs, own_name
from bot.engine.weights.gguf_config import ROPE_FACTORS
from bot.engine.weights.model_files import ModelFiles
from bot.engine.weights.parts import part_sources
from bot.engine.weights.whole_file import written_whole

_AT_ONCE = 1 << 22  # weights quantized at once: 16 MB in float32


@dataclass(frozen=True)
class _Matrix:
    """A matrix of the file. source: the hub's name; heads: of queries or keys that are stored in pairs."""

    source: str
    shape: tuple[int, int]
    format: str
    heads: int = 0

    @property
    def row_bytes(self) -> int:
        block = GGUF_FORMATS[self.format]
        return self.shape[1] // block.inputs * block.size


def write_gguf(
    model: ModelFiles, file: Path, made_of: Mapping[str, str], progress: Callable[[int, int], None]
) -> None:
    """Write the file, whole or not at all. Raises EngineError and OSError.

    made_of: further metadata. progress: is told how many matrices are done, of how many.
    """
    config, checkpoint = model.config(), model.checkpoint()
    vectors, matrices = _vectors(checkpoint, config), list(_matrices(checkpoint, config))
    quantizer = Quantizer()
    with written_whole(file) as temporary:
        writer = gguf.GGUFWriter(temporary, config.model_type)
        try:
            add_metadata(writer, model, config)
            for key, value in made_of.items():
                writer.add_string(key, value)
            for name, numbers in vectors.items():
                writer.add_tensor_info(name, numbers.shape, numbers.dtype, numbers.nbytes)
            for each in matrices:
                shape = (each.shape[0], each.row_bytes)
                kind = gguf.GGMLQuantizationType[each.format]
                writer.add_tensor_info(
                    own_name(each.source), shape, np.dtype(np.uint8), shape[0] * shape[1], kind
                )
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
            for numbers in vectors.values():
                writer.write_tensor_data(numbers)
            for done, each in enumerate(matrices, start=1):
                writer.write_tensor_data(_quantized(checkpoint, each, quantizer))
                progress(done, len(matrices))
        finally:
            writer.close()


def _vectors(checkpoint: Tensors, config: ModelConfig) -> dict[str, Floats]:
    """Norms, biases and factors of the rotary frequencies by the file's names: they stay in float32."""
    found: dict[str, Floats] = {}
    for name, source in part_sources(checkpoint, config):
        for suffix in ("weight", "bias"):
            tensor = f"{source}.{suffix}"
            if tensor in checkpoint and (suffix == "bias" or name.endswith("norm")):
                numbers = checkpoint.get(tensor).rows()
                heads = _heads_in_pairs(name, config)
                found[own_name(tensor)] = numbers[in_pairs(len(numbers), heads)] if heads else numbers
    if (factors := rope_factors(config)) is not None:
        found[ROPE_FACTORS] = factors
    return found


def _matrices(checkpoint: Tensors, config: ModelConfig) -> Iterator[_Matrix]:
    parts = [(name, source) for name, source in part_sources(checkpoint, config) if not name.endswith("norm")]
    embedding = EMBEDDING.removesuffix(".weight")
    if parts[-1] != ("head", embedding):  # else they are one
        parts.insert(0, ("embedding", embedding))
    for name, source in parts:
        weight = f"{source}.weight"
        outputs, inputs = checkpoint.rows_of(weight).shape
        kind = format_of(name, inputs, config.num_layers)
        yield _Matrix(weight, (outputs, inputs), kind, _heads_in_pairs(name, config))


def _heads_in_pairs(part: str, config: ModelConfig) -> int:
    """How many heads a part's rows are, where this architecture stores what is rotated together in pairs."""
    if config.model_type != "llama":
        return 0
    return {"query": config.num_heads, "key": config.num_kv_heads}.get(part.rpartition(".")[2], 0)


def _quantized(checkpoint: Tensors, matrix: _Matrix, quantizer: Quantizer) -> NDArray[np.uint8]:
    """The blocks of all rows, [outputs, bytes]."""
    outputs, step = matrix.shape[0], max(1, _AT_ONCE // matrix.shape[1])
    weight = checkpoint.get(matrix.source) if matrix.heads else checkpoint.rows_of(matrix.source)
    order = in_pairs(outputs, matrix.heads).tolist() if matrix.heads else range(outputs)
    blocks = np.empty((outputs, matrix.row_bytes), np.uint8)
    for first in range(0, outputs, step):
        rows = weight.rows(order[first : first + step])
        if not np.isfinite(rows).all():
            raise EngineError(f"{matrix.source} has weights that are no numbers: fetch the model again")
        blocks[first : first + step] = quantizer.quantize(rows, matrix.format)
    return blocks

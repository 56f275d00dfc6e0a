"""Quantised weights, written once beside the model so that starting is a memory map."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from bot.engine import compiled, fused
from bot.engine.kinds import kind
from bot.engine.linear import Kind
from bot.engine.precision import choose
from bot.engine.prepared import Writer, alone, metadata, open_prepared, prepared_file
from bot.engine.shape import Shape, read_shape
from bot.engine.torch_tensors import as_stored
from bot.engine.weights import Checkpoint

Progress = Callable[[int, int], None]  # parts done, parts in all


@torch.inference_mode()
def prepare(directory: Path, precision: str = "auto", progress: Progress | None = None) -> Path:
    """Write the weights of one precision and return the file. Raises EngineError for a bad directory.

    Interrupted, it leaves at most a temporary file, which the next call removes. Where the file is
    there already and belongs to these weights, nothing is done. Of two calls at once, also from other
    processes, the second waits and finds the first one's file.
    """
    shape = read_shape(directory)
    precision = choose(precision, shape)
    file = prepared_file(directory, precision)
    with alone(directory):
        if open_prepared(directory, precision) is None:
            _write(file, directory, precision, shape, progress)
    if compiled.suits(shape, precision):
        from bot.engine.compiled import keeping  # numba is read where it is used only

        keeping.keep()
    return file


def _write(file: Path, directory: Path, precision: str, shape: Shape, progress: Progress | None) -> None:
    how, checkpoint = kind(precision, compiled.suits(shape, precision)), Checkpoint(directory)
    total = 6 * shape.layers + 2
    with Writer(file, metadata(directory, precision, shape, checkpoint)) as writer:
        for done, part in enumerate(fused.parts(checkpoint, shape)):
            for name, tensor in encoded(part, how).items():
                writer.add(f"{part.name}/{name}", as_stored(tensor))
            if progress is not None:
                progress(min(done + 1, total), total)


def encoded(part: fused.Part, how: Kind) -> dict[str, torch.Tensor]:
    """What is kept of a part: a norm under the empty name, a projection as `how` says with its bias."""
    if not part.projects:
        return {"": part.weight}
    kept = (how.of_head if part.name == "head" else how).encode(part.weight)
    return kept if part.bias is None else kept | {"bias": part.bias}

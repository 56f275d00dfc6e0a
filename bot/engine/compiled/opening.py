"""Opens the compiled decoder."""

from __future__ import annotations

from bot.engine.compiled.decoder import CompiledDecoder, Part
from bot.engine.prepared import PreparedFile
from bot.engine.shape import Shape
from bot.engine.weights import EMBEDDING, Checkpoint, head_name


def open_compiled(
    shape: Shape, precision: str, checkpoint: Checkpoint, prepared: PreparedFile | None, threads: int
) -> CompiledDecoder:
    """The decoder over prepared weights, or over the checkpoint's own, quantised now."""
    if prepared is None:
        parts = _quantised(shape, precision, checkpoint)
    else:
        parts = {name: prepared.part(name, mapped=True) for name in prepared.parts}
    embedding, rows = checkpoint.get(EMBEDDING), checkpoint.get(head_name(checkpoint, shape))
    return CompiledDecoder(shape, precision, parts, embedding, rows, threads)


def _quantised(shape: Shape, precision: str, checkpoint: Checkpoint) -> dict[str, Part]:
    from bot.engine import fused  # torch, which quantises, is read where it is used only
    from bot.engine.kinds import kind
    from bot.engine.prepare import encoded
    from bot.engine.torch_tensors import as_stored

    how = kind(precision, for_compiled=True)
    return {
        part.name: {name: as_stored(tensor) for name, tensor in encoded(part, how).items()}
        for part in fused.parts(checkpoint, shape)
    }

"""Opens the decoder of a model directory: the compiled one where it suits, else torch's."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from bot.engine import compiled, fused
from bot.engine.decoder import Decoder, Layer
from bot.engine.head import Head
from bot.engine.linear import Kind, Linear
from bot.engine.precision import choose, kind
from bot.engine.prepare import encoded, open_prepared
from bot.engine.prepared import PreparedFile
from bot.engine.shape import Shape, read_shape
from bot.engine.weights import Checkpoint

log = logging.getLogger(__name__)


@torch.inference_mode()
def open_decoder(directory: Path, precision: str, threads: int = 0) -> Decoder:
    """The decoder of a model directory, from prepared weights where they are there and belong to it.

    `threads` 0 takes one a core. Blocking: it reads the weights. Raises EngineError.
    """
    if threads:
        torch.set_num_threads(threads)
    shape = read_shape(directory)
    precision = choose(precision, shape)
    checkpoint, how = Checkpoint(directory), kind(precision, compiled.suits(shape, precision))
    prepared = open_prepared(directory, precision)
    if prepared is None and precision in ("int8", "int4"):
        log.info("no prepared weights for %s: run `python -m bot prepare %s`", precision, directory)
    embedding = checkpoint.get(fused.EMBEDDING)
    rows = checkpoint.get(fused.head_name(checkpoint, shape))
    if compiled.suits(shape, precision):
        from bot.engine.compiled.decoder import CompiledDecoder  # numba is read where it is used only

        if prepared is not None:
            parts = {name: prepared.part(name, mapped=True) for name in prepared.parts}
        else:
            parts = {part.name: encoded(part, how) for part in fused.parts(checkpoint, shape)}
        return CompiledDecoder(shape, precision, parts, embedding, rows, torch.get_num_threads())
    built, norms = _built(shape, checkpoint, how, prepared)
    layers = []
    for at in range(shape.layers):
        prefix = f"layers.{at}."
        of_layer = {
            name[len(prefix) :]: part
            for name, part in (*built.items(), *norms.items())
            if name.startswith(prefix)
        }
        layers.append(Layer(**of_layer))  # type: ignore[arg-type]  # norms and projections by name
    head = Head(embedding, rows, built["head"], coarse=precision == "int4")
    return Decoder(shape, precision, layers, norms["norm"], head)


def _built(
    shape: Shape, checkpoint: Checkpoint, how: Kind, prepared: PreparedFile | None
) -> tuple[dict[str, Linear], dict[str, torch.Tensor]]:
    """Projections and norms by name, for torch's kernels."""
    built: dict[str, Linear] = {}
    norms: dict[str, torch.Tensor] = {}

    def build(name: str, tensors: Mapping[str, torch.Tensor]) -> None:
        if "" in tensors:
            norms[name] = tensors[""]
        else:
            built[name] = how.build(tensors, tensors.get("bias"))

    if prepared is None:
        for part in fused.parts(checkpoint, shape):
            build(part.name, encoded(part, how))
        return built, norms
    names = [name for name in prepared.parts if name != "head"]
    # The head first and alone: packing takes three times its size, the most of all parts.
    build("head", prepared.part("head", how.mapped))
    with ThreadPoolExecutor(torch.get_num_threads(), "packing") as workers:
        packing = [
            workers.submit(lambda name: build(name, prepared.part(name, how.mapped)), name) for name in names
        ]
        for part_packed in packing:
            part_packed.result()
    return built, norms

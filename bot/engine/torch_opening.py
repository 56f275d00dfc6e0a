"""Opens a decoder on torch's kernels."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import torch

from bot.engine import fused
from bot.engine.kinds import kind
from bot.engine.linear import Kind, Linear
from bot.engine.prepare import encoded
from bot.engine.prepared import PreparedFile
from bot.engine.rescored import Rescored
from bot.engine.shape import Shape
from bot.engine.torch_decoder import Layer, TorchDecoder
from bot.engine.torch_tensors import all_as_torch, as_torch
from bot.engine.weights import EMBEDDING, Checkpoint, head_name


@torch.inference_mode()
def open_on_torch(
    shape: Shape, precision: str, checkpoint: Checkpoint, prepared: PreparedFile | None, threads: int
) -> TorchDecoder:
    """The decoder over prepared weights, or over the checkpoint's own, converted now."""
    torch.set_num_threads(threads)
    built, norms = _built(shape, checkpoint, kind(precision), prepared)
    layers = []
    for at in range(shape.layers):
        prefix = f"layers.{at}."
        of_layer = {
            name[len(prefix) :]: part
            for name, part in (*built.items(), *norms.items())
            if name.startswith(prefix)
        }
        layers.append(Layer(**of_layer))  # type: ignore[arg-type]  # norms and projections by name
    rows, head = checkpoint.get(head_name(checkpoint, shape)), built["head"]
    if precision == "int4":
        head = Rescored(head, as_torch(rows))
    return TorchDecoder(shape, precision, layers, norms["norm"], checkpoint.get(EMBEDDING), rows, head)


def _built(
    shape: Shape, checkpoint: Checkpoint, how: Kind, prepared: PreparedFile | None
) -> tuple[dict[str, Linear], dict[str, torch.Tensor]]:
    """Projections and norms by name."""
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
    build("head", all_as_torch(prepared.part("head", how.mapped)))
    with ThreadPoolExecutor(torch.get_num_threads(), "packing") as workers:
        packing = [
            workers.submit(lambda name: build(name, all_as_torch(prepared.part(name, how.mapped))), name)
            for name in names
        ]
        for part_packed in packing:
            part_packed.result()
    return built, norms

"""One decoder for the Qwen2, Qwen3 and Llama families: token ids and caches in, hidden states out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional as F

from bot.engine import fused
from bot.engine.attention import Attention, Chunk
from bot.engine.head import Head
from bot.engine.kv_cache import KVCache
from bot.engine.linear import Linear
from bot.engine.precision import choose, kind
from bot.engine.prepare import encoded, open_prepared
from bot.engine.shape import Shape, read_shape
from bot.engine.weights import Checkpoint

__all__ = ["Chunk", "Decoder", "open_decoder"]
log = logging.getLogger(__name__)

_MANY = 32  # tokens in a pass from which reading is arithmetic, not memory


@dataclass
class Layer:
    """One block's weights. `qkv` and `gate_up` are fused along their outputs."""

    attention_norm: torch.Tensor
    qkv: Linear
    out: Linear
    mlp_norm: torch.Tensor
    gate_up: Linear
    down: Linear
    query_norm: torch.Tensor | None = None
    key_norm: torch.Tensor | None = None


class Decoder:
    """The model's layers over caches. Not safe for use from several threads at once."""

    def __init__(
        self, shape: Shape, precision: str, layers: list[Layer], norm: torch.Tensor, head: Head
    ) -> None:
        self.shape, self.precision = shape, precision
        self._layers, self._norm, self._head = layers, norm, head
        self._rotations = torch.empty(0, shape.head_dim // 2, dtype=torch.complex64)

    def new_cache(self, room: int = 0) -> KVCache:
        """An empty cache with room for `room` tokens."""
        return KVCache(self.shape, room=room)

    @torch.inference_mode()
    def forward(
        self,
        chunks: Sequence[Chunk],
        exact: bool = True,
        last_only: bool = False,
        rows: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """float32 hidden states after the final norm, [tokens of all chunks, hidden], in the order given.

        exact: False allows coarser activations, for callers that only compare labels.
        last_only: only the last token of each chunk has a row, [chunks, hidden].
        rows: only these rows, in their order; the last layer's work for the others is spared.
        """
        attention = Attention(self.shape, chunks)
        positions = [position for chunk in chunks for position in chunk.positions]
        if last_only:
            rows = torch.tensor([len(chunk.tokens) for chunk in chunks]).cumsum(0) - 1
            rows = None if len(rows) == len(positions) else rows
        # Where many tokens are read, the widest projection needs no more than 8-bit activations.
        wide = exact and len(positions) < _MANY
        rotations = self._rotation(max(positions) + 1)[positions][:, None]
        x = self._head.embed([token for chunk in chunks for token in chunk.tokens])
        for number, layer in enumerate(self._layers):
            qkv = layer.qkv(self._normalise(x, layer.attention_norm), exact)
            mixed = attention(number, self._rotate(qkv, layer, rotations))
            if rows is not None and number == len(self._layers) - 1:
                x, mixed = x[rows], mixed[rows]
            x.add_(layer.out(mixed, exact))
            gate, up = layer.gate_up(self._normalise(x, layer.mlp_norm), wide).chunk(2, -1)
            x.add_(layer.down(F.silu(gate).mul_(up), exact))
        for chunk in chunks:
            chunk.cache.tokens.extend(chunk.tokens)
        return self._normalise(x, self._norm)

    @torch.inference_mode()
    def logits(self, hidden: torch.Tensor, rows: torch.Tensor | None = None) -> torch.Tensor:
        """float32 [n, vocabulary], or [n, len(rows)] for the given rows of the head alone."""
        return self._head.logits(hidden, rows)

    def _rotate(self, qkv: torch.Tensor, layer: Layer, rotations: torch.Tensor) -> torch.Tensor:
        """Queries, keys and values a head, [rows, heads + 2 * kv_heads, head_dim], rotated by position."""
        heads, turned = self.shape.heads, self.shape.heads + self.shape.kv_heads
        states = qkv.view(len(qkv), -1, self.shape.head_dim)
        if layer.query_norm is not None and layer.key_norm is not None:
            states[:, :heads] = self._normalise(states[:, :heads], layer.query_norm)
            states[:, heads:turned] = self._normalise(states[:, heads:turned], layer.key_norm)
        pairs = states[:, :turned].view(len(qkv), turned, self.shape.head_dim // 2, 2)
        torch.view_as_complex(pairs).mul_(rotations)
        return states

    def _normalise(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """RMSNorm (Zhang and Sennrich, 2019). torch's own takes twice the time on a few rows."""
        mean: torch.Tensor = torch.linalg.vecdot(x, x).unsqueeze(-1).div_(x.shape[-1])
        return x.mul(mean.add_(self.shape.epsilon).rsqrt_()).mul_(weight)

    def _rotation(self, length: int) -> torch.Tensor:
        """e^(i position frequency) for the first `length` positions (Su et al., RoFormer, 2021)."""
        if length > len(self._rotations):
            frequencies = torch.tensor(self.shape.inverse_frequencies)
            angles = torch.outer(torch.arange(2 * length).float(), frequencies)
            self._rotations = torch.polar(torch.ones_like(angles), angles)
        return self._rotations


@torch.inference_mode()
def open_decoder(directory: Path, precision: str, threads: int = 0) -> Decoder:
    """The decoder of a model directory, from prepared weights where they are there and belong to it.

    `threads` 0 takes one a core. Blocking: it reads the weights. Raises EngineError.
    """
    if threads:
        torch.set_num_threads(threads)
    shape = read_shape(directory)
    precision = choose(precision, shape)
    checkpoint = Checkpoint(directory)
    how = kind(precision)
    built: dict[str, Linear] = {}
    norms: dict[str, torch.Tensor] = {}

    def build(name: str, tensors: Mapping[str, torch.Tensor]) -> None:
        if "" in tensors:
            norms[name] = tensors[""]
        else:
            built[name] = how.build(tensors, tensors.get("bias"))

    prepared = open_prepared(directory, precision)
    if prepared is None:
        if precision in ("int8", "int4"):
            log.info("no prepared weights for %s: run `python -m bot prepare %s`", precision, directory)
        for part in fused.parts(checkpoint, shape):
            build(part.name, encoded(part, how))
    else:
        names = [name for name in prepared.parts if name != "head"]
        # The head first and alone: packing takes three times its size, the most of all parts.
        build("head", prepared.part("head", how.mapped))
        with ThreadPoolExecutor(torch.get_num_threads(), "packing") as workers:
            packing = [
                workers.submit(lambda name: build(name, prepared.part(name, how.mapped)), name)
                for name in names
            ]
            for part_packed in packing:
                part_packed.result()
    layers = []
    for at in range(shape.layers):
        prefix = f"layers.{at}."
        of_layer = {
            name[len(prefix) :]: part
            for name, part in (*built.items(), *norms.items())
            if name.startswith(prefix)
        }
        layers.append(Layer(**of_layer))  # type: ignore[arg-type]  # norms and projections by name
    embedding = checkpoint.get(fused.EMBEDDING)
    rows = checkpoint.get(fused.head_name(checkpoint, shape))
    head = Head(embedding, rows, built["head"], coarse=precision == "int4")
    return Decoder(shape, precision, layers, norms["norm"], head)

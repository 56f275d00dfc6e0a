"""A decoder whose passes are compiled: what `bot.engine.decoder.Decoder` does, in one call a pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from bot.engine.attention import Chunk
from bot.engine.compiled import columns as c
from bot.engine.compiled.team import Team, padded
from bot.engine.decoder import Decoder
from bot.engine.head import Head
from bot.engine.linear import Tensors
from bot.engine.shape import Shape

_NORMS = {
    "attention_norm": c.ATTENTION_NORM,
    "query_norm": c.QUERY_NORM,
    "key_norm": c.KEY_NORM,
    "mlp_norm": c.MLP_NORM,
}
_PROJECTIONS = {"qkv": c.QKV, "out": c.OUT, "gate_up": c.GATE_UP, "down": c.DOWN}
_CODE_BITS = {"codes": 8, "nibbles": 4}


class CompiledDecoder(Decoder):
    """See Decoder. Weights are multiplied as they lie in the memory map; nothing is packed.

    parts: for each part of `fused.parts` its tensors as `prepare` keeps them.
    embedding, rows: see Head.
    """

    def __init__(
        self,
        shape: Shape,
        precision: str,
        parts: Mapping[str, Tensors],
        embedding: torch.Tensor,
        rows: torch.Tensor,
        threads: int,
    ) -> None:
        self._team = Team(threads, shape.epsilon)
        head = Head(embedding, rows, Vocabulary(self._team, parts["head"]), coarse=False)
        super().__init__(shape, precision, [], parts["norm"][""], head)
        self.threads, self.torch_threads = threads, 1  # torch's own workers would spin where these compute
        self._parts = parts  # the tables have only their addresses
        self._layer_table = np.zeros((shape.layers, c.LAYER), np.int64)
        for number, row in enumerate(self._layer_table):
            for name, column in _NORMS.items():
                if norm := parts.get(f"layers.{number}.{name}"):
                    row[column] = norm[""].data_ptr()
            for name, column in _PROJECTIONS.items():
                row[column : column + c.PROJECTION] = _projection(parts[f"layers.{number}.{name}"])
        self._widest = max(shape.hidden, shape.mlp, shape.heads * shape.head_dim)
        self._wide = torch.empty(threads, c.BLOCK * self._widest, dtype=torch.int16)
        self._team.set(
            {
                c.LAYERS: shape.layers,
                c.HIDDEN: shape.hidden,
                c.HEADS: shape.heads,
                c.KV_HEADS: shape.kv_heads,
                c.WIDTH: shape.head_dim,
                c.MLP: shape.mlp,
                c.LAYER_TABLE: self._layer_table.ctypes.data,
                c.FINAL_NORM: self._norm.data_ptr(),
                c.WIDE: self._wide.data_ptr(),
                c.WIDE_ROOM: self._wide[0].nbytes,
            }
        )

    @torch.inference_mode()
    def forward(
        self,
        chunks: Sequence[Chunk],
        exact: bool = True,
        last_only: bool = False,
        rows: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """See Decoder.forward. Activations have 15 bits, or 8 where that is enough."""
        shape = self.shape
        tokens = [token for chunk in chunks for token in chunk.tokens]
        positions = [position for chunk in chunks for position in chunk.positions]
        if last_only:
            rows = torch.tensor([len(chunk.tokens) for chunk in chunks]).cumsum(0) - 1
        wanted = np.arange(len(tokens)) if rows is None else rows.numpy().astype(np.int64)
        ascending, order = np.unique(wanted, return_inverse=True)
        rotations = torch.view_as_real(self._rotation(max(positions) + 1)[positions])
        masks = [None if chunk.visible is None else chunk.visible.contiguous() for chunk in chunks]
        table, longest = self._row_table(chunks, masks, rotations)
        room = padded(len(tokens))
        states = torch.cat((self._head.embed(tokens), torch.empty(room - len(tokens), shape.hidden)))
        heads, all_heads = shape.heads, shape.heads + 2 * shape.kv_heads
        qkv = states.new_empty(room, all_heads * shape.head_dim)
        mixed = states.new_empty(room, heads * shape.head_dim)
        inner = states.new_empty(room, 2 * shape.mlp)
        scores = states.new_empty(self.threads, longest)
        result = states.new_empty(len(ascending), shape.hidden)
        columns = {
            c.KIND: c.PASS,
            c.EXACT: int(exact),
            c.ROW_TABLE: table.ctypes.data,
            c.WANTED: len(ascending),
            c.WANTED_ROWS: ascending.ctypes.data,
            c.STATES: states.data_ptr(),
            c.MIXED_QKV: qkv.data_ptr(),
            c.MIXED: mixed.data_ptr(),
            c.INNER: inner.data_ptr(),
            c.SCORES: scores.data_ptr(),
            c.SCORE_ROOM: longest,
            c.RESULT: result.data_ptr(),
        }
        self._team.run(columns, len(tokens), self._widest)
        for chunk in chunks:
            chunk.cache.tokens.extend(chunk.tokens)
        return result if len(order) == len(ascending) and rows is None else result[torch.from_numpy(order)]

    def _row_table(
        self, chunks: Sequence[Chunk], masks: Sequence[torch.Tensor | None], rotations: torch.Tensor
    ) -> tuple[NDArray[np.int64], int]:
        """What the kernels must know of each token (columns.ROW), and the most tokens that one sees."""
        table = np.empty((len(rotations), c.ROW), np.int64)
        table[:, c.ROTATION] = rotations.data_ptr() + np.arange(len(rotations)) * rotations[0].nbytes
        at = longest = 0
        for chunk, mask in zip(chunks, masks, strict=True):
            before, count = len(chunk.cache), len(chunk.tokens)
            chunk.cache.reserve(before + count)
            rows = table[at : at + count]
            rows[:, c.CACHE], rows[:, c.CAPACITY] = chunk.cache.states.data_ptr(), chunk.cache.capacity
            rows[:, c.BEFORE], rows[:, c.OWN], rows[:, c.CHUNK] = before, np.arange(count), count
            rows[:, c.SEEN] = 0 if mask is None else mask.data_ptr()
            at, longest = at + count, max(longest, before + count)
        return table, longest


class Vocabulary:
    """See Linear: the head, multiplied by a team. It knows nothing of the decoder, whose it is."""

    def __init__(self, team: Team, tensors: Tensors) -> None:
        self._team, self._tensors, self._table = team, tensors, _projection(tensors)

    def __call__(self, x: torch.Tensor, exact: bool = True) -> torch.Tensor:
        """Logits, float32 [rows, vocabulary]."""
        x = x.contiguous()
        result = x.new_empty(padded(len(x)), int(self._table[c.OUTPUTS]))
        columns = {c.KIND: c.PROJECT, c.STATES: x.data_ptr(), c.RESULT: result.data_ptr()}
        self._team.run({**columns, c.PROJECTION_TABLE: self._table.ctypes.data}, len(x), x.shape[1])
        return result[: len(x)]


def _projection(tensors: Tensors) -> NDArray[np.int64]:
    """The kernels' columns of one projection."""
    name = "nibbles" if "nibbles" in tensors else "codes"
    codes, scales, bias = (
        tensors[name],
        tensors["scales" if name == "nibbles" else "scale"],
        tensors.get("bias"),
    )
    size = _CODE_BITS[name]
    found = np.zeros(c.PROJECTION, np.int64)
    found[c.CODES], found[c.SCALES], found[c.BITS] = codes.data_ptr(), scales.data_ptr(), size
    found[c.BIAS] = 0 if bias is None else bias.data_ptr()
    found[c.OUTPUTS], found[c.INPUTS] = len(codes), codes.shape[1] * 8 // size
    return found

"""A decoder whose passes are compiled: one call a pass, on arrays of numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from bot.engine.cache.kv_cache import KVCache
from bot.engine.compiled import job_layout as c
from bot.engine.compiled.thread_pool import ThreadPool, padded, room
from bot.engine.config.arrays import Floats, StoredTensor
from bot.engine.config.model_config import ModelConfig
from bot.engine.model.decoder import Chunk
from bot.engine.model.lm_head import LMHead

Part = Mapping[str, StoredTensor]
_NORMS = {
    "attention_norm": c.ATTENTION_NORM,
    "query_norm": c.QUERY_NORM,
    "key_norm": c.KEY_NORM,
    "mlp_norm": c.MLP_NORM,
}
_PROJECTIONS = {"qkv": c.QKV, "out": c.OUT, "gate_up": c.GATE_UP, "down": c.DOWN}
_CODE_BITS = {"codes": 8, "nibbles": 4}


class CompiledDecoder:
    """See Decoder. Weights are multiplied as they lie in the memory map; nothing is packed.

    parts: for each part of `fuse.fused_parts` its tensors as `prepare` keeps them.
    embedding, rows: see LMHead.
    """

    def __init__(
        self,
        config: ModelConfig,
        precision: str,
        parts: Mapping[str, Part],
        embedding: StoredTensor,
        rows: StoredTensor,
        threads: int,
    ) -> None:
        self.config, self.precision, self.threads = config, precision, threads
        self._pool = ThreadPool(threads, config.rms_norm_eps)
        self._head = LMHead(embedding, rows, HeadProjection(self._pool, parts["head"]))
        self._rotations = np.empty((0, config.head_dim // 2, 2), np.float32)
        self._parts = parts  # the tables have only their addresses
        self._layer_table = np.zeros((config.num_layers, c.LAYER), np.int64)
        for number, row in enumerate(self._layer_table):
            for name, column in _NORMS.items():
                if norm := parts.get(f"layers.{number}.{name}"):
                    row[column] = _address(norm[""])
            for name, column in _PROJECTIONS.items():
                row[column : column + c.PROJECTION] = _projection(parts[f"layers.{number}.{name}"])
        self._widest = max(config.hidden_size, config.intermediate_size, config.num_heads * config.head_dim)
        self._wide = room(threads, c.BLOCK * self._widest, dtype=np.int16)
        self._pool.set(
            {
                c.LAYERS: config.num_layers,
                c.HIDDEN: config.hidden_size,
                c.HEADS: config.num_heads,
                c.KV_HEADS: config.num_kv_heads,
                c.HEAD_DIM: config.head_dim,
                c.MLP: config.intermediate_size,
                c.LAYER_TABLE: self._layer_table.ctypes.data,
                c.FINAL_NORM: _address(parts["norm"][""]),
                c.WIDE: self._wide.ctypes.data,
                c.WIDE_ROOM: self._wide[0].nbytes,
            }
        )

    def enter_thread(self) -> None:
        """See Decoder.enter_thread: the thread pool needs nothing."""

    def new_cache(self, room: int = 0) -> KVCache:
        """See Decoder.new_cache."""
        return KVCache(self.config, room=room)

    def forward(
        self,
        chunks: Sequence[Chunk],
        exact: bool = True,
        last_only: bool = False,
        rows: Sequence[int] | None = None,
    ) -> Floats:
        """See Decoder.forward. Activations have 15 bits, or 8 where that is enough."""
        config = self.config
        tokens = [token for chunk in chunks for token in chunk.tokens]
        positions = [position for chunk in chunks for position in chunk.positions]
        if last_only:
            rows = [end - 1 for end in accumulate(len(chunk.tokens) for chunk in chunks)]
        output_rows = np.arange(len(tokens)) if rows is None else np.array(rows, np.int64)
        ascending, order = np.unique(output_rows, return_inverse=True)
        rotations = self._rotation(max(positions) + 1)[positions]
        masks = [None if chunk.mask is None else np.ascontiguousarray(chunk.mask) for chunk in chunks]
        table, longest = self._row_table(chunks, masks, rotations)
        count = padded(len(tokens))
        states = room(count, config.hidden_size)
        states[: len(tokens)] = self._head.embed(tokens)
        qkv = room(count, (config.num_heads + 2 * config.num_kv_heads) * config.head_dim)
        attn_out, mlp_states = (
            room(count, config.num_heads * config.head_dim),
            room(count, 2 * config.intermediate_size),
        )
        scores, result = room(self.threads, longest), room(len(ascending), config.hidden_size)
        columns = {
            c.KIND: c.PASS,
            c.EXACT: int(exact),
            c.ROW_TABLE: table.ctypes.data,
            c.OUTPUT_ROWS: len(ascending),
            c.OUTPUT_ROW_TABLE: ascending.ctypes.data,
            c.STATES: states.ctypes.data,
            c.QKV_STATES: qkv.ctypes.data,
            c.ATTN_OUT: attn_out.ctypes.data,
            c.MLP_STATES: mlp_states.ctypes.data,
            c.SCORES: scores.ctypes.data,
            c.SCORE_ROOM: longest,
            c.RESULT: result.ctypes.data,
        }
        self._pool.run(columns, len(tokens), self._widest)
        for chunk in chunks:
            chunk.cache.tokens.extend(chunk.tokens)
        return result if len(order) == len(ascending) and rows is None else result[order]

    def logits(self, hidden: Floats, rows: Sequence[int] | None = None) -> Floats:
        """See Decoder.logits."""
        return self._head.logits(hidden, rows)

    def _row_table(
        self, chunks: Sequence[Chunk], masks: Sequence[NDArray[np.bool_] | None], rotations: Floats
    ) -> tuple[NDArray[np.int64], int]:
        """What the kernels must know of each token (columns.ROW), and room for the scores of one."""
        table = np.empty((len(rotations), c.ROW), np.int64)
        table[:, c.ROTATION] = rotations.ctypes.data + np.arange(len(rotations)) * rotations[0].nbytes
        at = longest = 0
        for chunk, mask in zip(chunks, masks, strict=True):
            before, count = len(chunk.cache), len(chunk.tokens)
            chunk.cache.reserve(before + count)
            rows = table[at : at + count]
            rows[:, c.CACHE], rows[:, c.CAPACITY] = chunk.cache.states.ctypes.data, chunk.cache.capacity
            rows[:, c.BEFORE], rows[:, c.OWN], rows[:, c.CHUNK] = before, np.arange(count), count
            rows[:, c.MASK] = 0 if mask is None else mask.ctypes.data
            at, longest = at + count, max(longest, before + count)
        return table, -(-longest // 8) * 8

    def _rotation(self, length: int) -> Floats:
        """Cosine and sine of position times frequency (RoFormer, 2021), [length or more, head_dim / 2, 2]."""
        if length > len(self._rotations):
            frequencies = np.array(self.config.inv_freq, np.float32)
            angles = np.outer(np.arange(2 * length, dtype=np.float32), frequencies)
            self._rotations = np.stack((np.cos(angles), np.sin(angles)), -1)
        return self._rotations


class HeadProjection:
    """The LM head on the thread pool: hidden states [rows, hidden_size] to logits [rows, vocab_size]."""

    def __init__(self, thread_pool: ThreadPool, part: Part) -> None:
        self._pool, self._part, self._table = thread_pool, part, _projection(part)

    def __call__(self, x: Floats) -> Floats:
        x = np.ascontiguousarray(x)
        result: Floats = room(padded(len(x)), int(self._table[c.OUTPUTS]))
        columns = {c.KIND: c.PROJECT, c.STATES: x.ctypes.data, c.RESULT: result.ctypes.data}
        self._pool.run({**columns, c.PROJECTION_TABLE: self._table.ctypes.data}, len(x), x.shape[1])
        return result[: len(x)]


def _projection(part: Part) -> NDArray[np.int64]:
    """The kernels' columns of one projection."""
    name = "nibbles" if "nibbles" in part else "codes"
    codes, scales = part[name], part["scales" if name == "nibbles" else "scale"]
    found = np.zeros(c.PROJECTION, np.int64)
    found[c.CODES], found[c.SCALES], found[c.BITS] = _address(codes), _address(scales), _CODE_BITS[name]
    found[c.BIAS] = _address(part["bias"]) if "bias" in part else 0
    outputs, width = codes.data.shape
    found[c.OUTPUTS], found[c.INPUTS] = outputs, width * 8 // _CODE_BITS[name]
    return found


def _address(tensor: StoredTensor) -> int:
    return tensor.data.ctypes.data

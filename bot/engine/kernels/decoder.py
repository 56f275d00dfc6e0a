"""A decoder whose passes are compiled: one call a pass, on arrays of numpy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from ctypes import byref, pointer
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bot.engine.cache.kv_cache import KVCache
from bot.engine.config.arrays import Floats, Rows, StoredTensor
from bot.engine.config.model_config import ModelConfig
from bot.engine.errors import EngineError
from bot.engine.kernels.bindings import (
    FORMATS,
    Activations,
    Kernels,
    Layer,
    Matrix,
    Model,
    Pass,
    Product,
    ThreadPool,
    Token,
    arithmetic,
)
from bot.engine.model.decoder import Chunk
from bot.engine.model.lm_head import LMHead
from bot.engine.weights.block_formats import row_shape

Part = Mapping[str, StoredTensor]
GROUP, BLOCK = 32, 32  # see kernels.h
SHARING, SPARE = 4, 16  # see attention.h
_CACHE_LINE = 64
_MEND = "put the model's own files there again, remove its prepared-* files and run `python -m bot prepare`"
_TOKEN = np.dtype(Token)


class CompiledDecoder:
    """See Decoder. Weights are multiplied as they lie in the memory map; nothing is packed.

    parts: for each part of `decoder_parts` its tensors as `quantize_part` keeps them.
    embedding, rows: see LMHead.
    """

    def __init__(
        self,
        config: ModelConfig,
        precision: str,
        parts: Mapping[str, Part],
        embedding: Rows,
        rows: Rows,
        kernels: Kernels,
        threads: int,
    ) -> None:
        self.config, self.precision = config, precision
        self._kernels, self._pool = kernels, ThreadPool(threads)
        self.threads = self._pool.threads
        self._parts = parts  # the structs have only their addresses
        for outer in (embedding, rows):
            _check_shape(outer.shape, (config.vocab_size, config.hidden_size))
        head = matrix_of(_part(parts, "head"), config.vocab_size, config.hidden_size)
        self._head = LMHead(embedding, rows, Projection(kernels, self._pool, head))
        self._rotations = np.empty((0, config.head_dim), np.float32)
        self._layers = (Layer * config.num_layers)(
            *(self._layer(number) for number in range(config.num_layers))
        )
        self._model = Model(
            self._layers,
            _address(_part(parts, "norm")[""], config.hidden_size),
            config.num_layers,
            config.hidden_size,
            config.num_heads,
            config.num_kv_heads,
            config.head_dim,
            config.intermediate_size,
            config.rms_norm_eps,
            config.rope_adjacent,
        )

    @property
    def arithmetic(self) -> dict[str, str]:
        """See bindings.arithmetic."""
        return arithmetic(self._kernels)

    @property
    def weight_bytes(self) -> int:
        """Bytes of all layers and the LM head: what one token needs."""
        return sum(tensor.data.nbytes for part in self._parts.values() for tensor in part.values())

    def enter_thread(self) -> None:
        """See Decoder.enter_thread: the thread pool needs nothing."""

    def new_cache(self, room: int = 0) -> KVCache:
        """See Decoder.new_cache."""
        return KVCache(self.config, room=room)

    def forward(
        self, chunks: Sequence[Chunk], last_only: bool = False, rows: Sequence[int] | None = None
    ) -> Floats:
        """See Decoder.forward."""
        config = self.config
        ids = [token for chunk in chunks for token in chunk.tokens]
        if last_only:
            rows = [end - 1 for end in accumulate(len(chunk.tokens) for chunk in chunks)]
        wanted = np.arange(len(ids)) if rows is None else np.asarray(rows)
        output_rows, order = np.unique(wanted, return_inverse=True)
        output_rows = output_rows.astype(np.int32)
        masks = [None if chunk.mask is None else np.ascontiguousarray(chunk.mask) for chunk in chunks]
        positions = [position for chunk in chunks for position in chunk.positions]
        rotations = self._rotation(max(positions) + 1)[positions]
        tokens, longest = _tokens(chunks, masks, rotations)
        states = self._head.embed(ids)
        queries = aligned(len(ids), config.num_heads * config.head_dim)
        result = aligned(len(output_rows), config.hidden_size)
        quantized = [
            _Quantized(len(ids), width)
            for width in (config.hidden_size, config.num_heads * config.head_dim, config.intermediate_size)
        ]
        # A block of gate and one of up, or some whole heads, of all rows; or some queries' scores.
        together = math.lcm(config.head_dim, BLOCK)
        scratch = aligned(
            self.threads,
            max(len(ids) * max(2 * BLOCK, together), SHARING * (longest + SPARE), config.hidden_size)
            + _CACHE_LINE // 4,
        )
        work = Pass(
            pointer(self._model),
            tokens.ctypes.data,
            output_rows.ctypes.data,
            states.ctypes.data,
            queries.ctypes.data,
            result.ctypes.data,
            *(each.struct for each in quantized),
            scratch.ctypes.data,
            scratch[0].nbytes,
            len(ids),
            len(output_rows),
            longest,
        )
        self._kernels.forward(self._pool.address, byref(work))
        for chunk in chunks:
            chunk.cache.tokens.extend(chunk.tokens)
        return result if rows is None else result[order]

    def logits(self, hidden: Floats, rows: Sequence[int] | None = None) -> Floats:
        """See Decoder.logits."""
        return self._head.logits(hidden, rows)

    def _layer(self, number: int) -> Layer:
        config, at = self.config, f"layers.{number}."
        heads, hidden = config.num_heads * config.head_dim, config.hidden_size
        keys = config.num_kv_heads * config.head_dim
        shapes = {
            "query": (heads, hidden),
            "key": (keys, hidden),
            "value": (keys, hidden),
            "out": (hidden, heads),
            "gate": (config.intermediate_size, hidden),
            "up": (config.intermediate_size, hidden),
            "down": (hidden, config.intermediate_size),
        }
        norms = {"attention_norm": hidden, "query_norm": config.head_dim, "key_norm": config.head_dim}
        norms["mlp_norm"] = hidden
        there = {name: self._parts.get(at + name) for name in norms}
        return Layer(
            *(None if part is None else _address(part[""], norms[name]) for name, part in there.items()),
            *(matrix_of(_part(self._parts, at + name), *shape) for name, shape in shapes.items()),
        )

    def _rotation(self, length: int) -> Floats:
        """Cosines, then sines of position times frequency (RoFormer, 2021), [length or more, head_dim]."""
        if length > len(self._rotations):
            frequencies = np.array(self.config.inv_freq, np.float32)
            angles = np.outer(np.arange(2 * length, dtype=np.float32), frequencies)
            self._rotations = np.concatenate((np.cos(angles), np.sin(angles)), 1)
        return self._rotations


class Projection:
    """x W^T + b on the thread pool: [rows, inputs] to [rows, outputs]."""

    def __init__(self, kernels: Kernels, pool: ThreadPool, matrix: Matrix) -> None:
        self._kernels, self._pool, self._matrix = kernels, pool, matrix

    def __call__(self, x: Floats) -> Floats:
        x, rows = np.ascontiguousarray(x), len(x)
        result: Floats = aligned(rows, self._matrix.outputs)
        quantized = _Quantized(rows, self._matrix.inputs)
        scratch = aligned(self._pool.threads, rows * BLOCK + _CACHE_LINE // 4)
        work = Product(
            pointer(self._matrix),
            x.ctypes.data,
            result.ctypes.data,
            quantized.struct,
            scratch.ctypes.data,
            scratch[0].nbytes,
            rows,
        )
        self._kernels.multiply(self._pool.address, byref(work))
        return result


class _Quantized:
    """Memory for quantized activations, [rows, width]."""

    def __init__(self, rows: int, width: int) -> None:
        groups = -(-width // GROUP)
        self._codes = aligned(rows, groups * GROUP, dtype=np.int8)
        self._scales, self._corrections = aligned(rows, groups), aligned(rows, groups, 2, dtype=np.int32)
        arrays = (self._codes, self._scales, self._corrections)
        self.struct = Activations(*(each.ctypes.data for each in arrays), groups)


def aligned(*shape: int, dtype: Any = np.float32) -> NDArray[Any]:
    """Memory without a meaning yet, at the beginning of a cache line."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    whole: NDArray[Any] = np.empty(size + _CACHE_LINE, np.uint8)
    start = -whole.ctypes.data % _CACHE_LINE
    found: NDArray[Any] = whole[start : start + size].view(dtype).reshape(shape)
    return found


def _tokens(
    chunks: Sequence[Chunk], masks: Sequence[NDArray[np.bool_] | None], rotations: Floats
) -> tuple[NDArray[Any], int]:
    """What the kernels must know of each token (see kernels.h), and the most keys that one sees."""
    tokens = np.zeros(len(rotations), _TOKEN)
    tokens["rotation"] = rotations.ctypes.data + np.arange(len(rotations)) * rotations[0].nbytes
    at = longest = 0
    for chunk, mask in zip(chunks, masks, strict=True):
        before, count = len(chunk.cache), len(chunk.tokens)
        chunk.cache.reserve(before + count)
        row = at
        for segment in chunk.cache.segments(before, before + count):
            own = tokens[row : row + len(segment)]
            own["into"] = segment.address + np.arange(len(segment)) * segment.memory.stride
            own["capacity"] = segment.memory.capacity
            row += len(segment)
        some = tokens[at:row]
        some["segments"] = chunk.cache.table.ctypes.data
        some["before"], some["own"], some["chunk"] = before, np.arange(count), count
        some["mask"] = 0 if mask is None else mask.ctypes.data + np.arange(count) * count
        at, longest = at + count, max(longest, before + count)
    return tokens, longest


def matrix_of(part: Part, outputs: int, inputs: int) -> Matrix:
    """The struct of a part's tensors, which has only their addresses."""
    name = next((name for name in FORMATS if name in part), None)
    if name is None:
        raise EngineError(f"the weights have a part of {', '.join(part)} and no blocks: {_MEND}")
    bias, scales, padded = part.get("bias"), part.get("scales"), -(-outputs // BLOCK) * BLOCK
    if (scales is None) == (name == "int8"):
        raise EngineError(
            f"the weights have {name} {'without' if scales is None else 'with'} scales: {_MEND}"
        )
    return Matrix(
        _address(part[name], padded // BLOCK, *row_shape(name, inputs)),
        None if scales is None else _address(scales, padded),
        None if bias is None else _address(bias, padded),
        outputs,
        inputs,
        FORMATS[name],
    )


def _part(parts: Mapping[str, Part], name: str) -> Part:
    """Raises EngineError where it is missing."""
    if name not in parts:
        raise EngineError(f"the weights have no part {name}: {_MEND}")
    return parts[name]


def _address(tensor: StoredTensor, *shape: int) -> int:
    """Where a tensor lies. Raises EngineError for another shape than the kernels will read."""
    _check_shape(tensor.shape, shape)
    return tensor.data.ctypes.data


def _check_shape(found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    if found != wanted:
        raise EngineError(f"the weights have a tensor of {found} in place of {wanted}: {_MEND}")

"""A GGUF file's tensors by the hub's names, in its order, as float32: the interface of Checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bot.engine.config.arrays import Floats, Rows, StoredTensor
from bot.engine.config.model_config import ModelConfig
from bot.engine.weights.gguf import GGUFError, GGUFFile, GGUFTensor
from bot.engine.weights.gguf_config import EMBEDDING, HEAD, ROPE_FACTORS

OUTER = {
    EMBEDDING: "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    HEAD: "lm_head.weight",
}
INNER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_OUTER_OWN, _INNER_OWN = ({hub: own for own, hub in names.items()} for names in (OUTER, INNER))


class GGUFCheckpoint:
    """Tensors by the names of the hub. `files` is the one that holds the weights."""

    def __init__(self, source: GGUFFile, config: ModelConfig) -> None:
        """`config`: that of `read_gguf_config`. Raises GGUFError for tensors of other models."""
        self._source, self._config = source, config
        self.files = [source.file]
        self._names = {_hub_name(name, source.file): name for name in source.tensors if name != ROPE_FACTORS}
        self.shapes = {hub: source.tensors[name].shape for hub, name in self._names.items()}

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def get(self, name: str) -> StoredTensor:
        """The tensor as float32, dequantized now. Raises GGUFError if it is not there."""
        numbers = self._source.floats(self._own(name))
        if self._config.rope_adjacent and ".self_attn." in name:
            heads = {"q_proj": self._config.num_heads, "k_proj": self._config.num_kv_heads}
            if (count := heads.get(name.split(".")[-2])) is not None:
                numbers = _in_halves(numbers, count)
        # torch warns of memory that cannot be written to, as the file's map.
        return StoredTensor(numbers if numbers.flags.writeable else numbers.copy(), "F32")

    def stored(self, name: str) -> GGUFTensor:
        """What the file says of a tensor. Raises GGUFError if it is not there."""
        return self._source.tensors[self._own(name)]

    def bytes_of(self, name: str) -> NDArray[np.uint8]:
        """A tensor as it is stored, in the file's own order of rows. Raises GGUFError if it is not there."""
        return self._source.bytes_of(self._own(name))

    def stored_floats(self, name: str) -> Floats:
        """The same as float32."""
        return self._source.floats(self._own(name))

    def rows_of(self, name: str) -> Rows:
        """A matrix, not one of queries or keys, of which some rows are read. Raises GGUFError."""
        return self._source.rows_of(self._own(name))

    def release(self) -> None:
        """Let go of the file's pages read so far."""
        self._source.release()

    def _own(self, name: str) -> str:
        if name not in self._names:
            raise GGUFError(f"{self._source.file}: the weights have no tensor {name!r}: fetch it again")
        return self._names[name]


def own_name(hub: str) -> str:
    """A tensor's name in a GGUF file, by the hub's."""
    if hub in _OUTER_OWN:
        return _OUTER_OWN[hub]
    number, _, rest = hub.removeprefix("model.layers.").partition(".")
    part, _, suffix = rest.rpartition(".")
    return f"blk.{number}.{_INNER_OWN[part]}.{suffix}"


def in_pairs(rows: int, heads: int) -> NDArray[np.intp]:
    """For each row of queries or keys as llama stores them, which of the hub's it is: `_in_halves` undone."""
    order: NDArray[np.intp] = np.arange(rows).reshape(heads, 2, -1).swapaxes(1, 2).reshape(-1)
    return order


def _in_halves(numbers: Floats, heads: int) -> Floats:
    """Rows of queries or keys as the hub has them, from pairs of neighbours that are rotated together.

    The hub rotates row i of a head with row i + head_dim / 2, GGUF's llama row 2i with row 2i + 1.
    """
    pairs = numbers.reshape(heads, -1, 2, *numbers.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(numbers.shape)


def _hub_name(name: str, file: Path) -> str:
    if name in OUTER:
        return OUTER[name]
    block, _, rest = name.removeprefix("blk.").partition(".")
    part, _, suffix = rest.rpartition(".")
    if not block.isdecimal() or part not in INNER or suffix not in ("weight", "bias"):
        raise GGUFError(
            f"{file} has a tensor {name[:80]!r}, which is not known: use a Qwen2, Qwen3 or Llama model"
        )
    return f"model.layers.{block}.{INNER[part]}.{suffix}"

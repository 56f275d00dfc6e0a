"""The ModelConfig of a GGUF file; what this engine does not know in its metadata is refused by name."""

from __future__ import annotations

import math
from typing import Any

from bot.engine.config.model_config import MODEL_TYPES, ModelConfig
from bot.engine.weights.gguf import GGUFError, GGUFFile

EMBEDDING, HEAD, ROPE_FACTORS = "token_embd.weight", "output.weight", "rope_freqs.weight"
_FIRST_QUERIES = "blk.0.attn_q.weight"
_LARGEST = 1 << 24  # of any size of a model
_FOREIGN = "use a Qwen2, Qwen3 or Llama model"
_AGAIN = "fetch it again"


def read_gguf_config(source: GGUFFile) -> ModelConfig:
    """What a decoder must know, for weights in the order of the file. Raises GGUFError.

    `rope_adjacent` is set for the architecture llama, whose query and key rows GGUF stores in pairs.
    """
    found = _Metadata(source)
    head_dim = found.size("attention.key_length", found.size("embedding_length") // found.size(_HEADS))
    kv_heads = found.size("attention.head_count_kv", found.size(_HEADS))
    _refuse_unknown(found, head_dim, kv_heads)
    layers = found.size("block_count")
    if layers > len(source.tensors):  # held against what is there before anything is made of it
        raise GGUFError(
            f"{source.file} claims {layers} layers and has {len(source.tensors)} tensors: {_AGAIN}"
        )
    return ModelConfig(
        model_type=found.architecture,
        hidden_size=found.size("embedding_length"),
        num_layers=layers,
        num_heads=found.size(_HEADS),
        num_kv_heads=kv_heads,
        head_dim=head_dim,
        intermediate_size=found.size("feed_forward_length"),
        vocab_size=_shape(source, EMBEDDING)[0],
        # Stored as float32, where 1e-6 is 9.99999997e-07.
        rms_norm_eps=round(found.positive("attention.layer_norm_rms_epsilon"), 12),
        max_position_embeddings=found.size("context_length"),
        tie_word_embeddings=HEAD not in source.tensors,
        inv_freq=_inv_freq(found, head_dim),
        rope_adjacent=found.architecture == "llama",
    )


_HEADS = "attention.head_count"


class _Metadata:
    """The architecture's own keys, with their types and limits checked."""

    def __init__(self, source: GGUFFile) -> None:
        """Raises GGUFError for an architecture that is not known."""
        self.source = source
        self.architecture = str(source.metadata.get("general.architecture"))
        if self.architecture not in MODEL_TYPES:
            raise GGUFError(f"{source.file} holds a model of the kind {self.architecture[:40]!r}: {_FOREIGN}")

    def get(self, key: str, default: Any = None) -> Any:
        """The value of ARCHITECTURE.key; without a default it must be there."""
        found = self.source.metadata.get(f"{self.architecture}.{key}", default)
        if found is None:
            raise GGUFError(f"{self.source.file} lacks {self.architecture}.{key}: {_AGAIN}")
        return found

    def size(self, key: str, default: int | None = None, least: int = 1) -> int:
        """A whole number from `least` up."""
        found = self.get(key, default)
        if type(found) is not int or not least <= found <= _LARGEST:
            raise self.impossible(key, f"one whole number from {least} up")
        return found

    def positive(self, key: str, default: float | None = None) -> float:
        """A finite number above 0."""
        found = self.get(key, default)
        if type(found) not in (int, float) or not 0 < found < math.inf:
            raise self.impossible(key, "a number above 0")
        return float(found)

    def impossible(self, key: str, wanted: str) -> GGUFError:
        """The error for a value that is not what it must be."""
        return GGUFError(f"{self.source.file} has in {self.architecture}.{key} not {wanted}: {_FOREIGN}")


def _refuse_unknown(found: _Metadata, head_dim: int, kv_heads: int) -> None:
    file, heads, hidden = found.source.file, found.size(_HEADS), found.size("embedding_length")
    if found.size("expert_count", 0, least=0):
        raise GGUFError(f"{file} holds a mixture of experts, which is not known: {_FOREIGN} without them")
    if 0 < found.size("attention.sliding_window", 0, least=0) < found.size("context_length"):
        raise GGUFError(f"{file} needs sliding-window attention, which is not known: {_FOREIGN} without it")
    if heads % kv_heads:
        raise GGUFError(f"{file}: {heads} attention heads cannot share {kv_heads} key-value heads: {_AGAIN}")
    if head_dim % 2:
        raise GGUFError(f"{file}: heads of {head_dim} numbers cannot be rotated in pairs: {_AGAIN}")
    for key in ("attention.value_length", "rope.dimension_count"):
        if found.size(key, head_dim) != head_dim:
            raise found.impossible(key, f"the width of a head, {head_dim}")
    if (shape := _shape(found.source, _FIRST_QUERIES)) != (heads * head_dim, hidden):
        raise GGUFError(
            f"{file}: {_FIRST_QUERIES} has the shape {list(shape)}, its metadata ask for "
            f"{[heads * head_dim, hidden]}: {_AGAIN}"
        )


def _shape(source: GGUFFile, name: str) -> tuple[int, ...]:
    if name not in source.tensors:
        raise GGUFError(f"{source.file} has no tensor {name}: {_AGAIN}")
    return source.tensors[name].shape


def _inv_freq(found: _Metadata, head_dim: int) -> tuple[float, ...]:
    """theta^(-2i/d), divided by one factor (linear scaling) or by one for each (Llama 3's)."""
    theta, source = found.positive("rope.freq_base", 10000.0), found.source
    if theta < 1:
        raise found.impossible("rope.freq_base", "a number from 1 up")
    scaling = str(found.get("rope.scaling.type", "none"))
    if scaling not in ("none", "linear"):
        told = f"the rotary scaling {scaling[:40]!r}; known are none, linear and Llama 3's"
        raise GGUFError(f"{source.file} has {told}: {_FOREIGN}")
    factor = found.positive("rope.scaling.factor", 1.0) if scaling == "linear" else 1.0
    factors = [factor] * (head_dim // 2)
    if ROPE_FACTORS in source.tensors:
        stored = source.floats(ROPE_FACTORS)
        if stored.shape != (head_dim // 2,) or not (stored > 0).all():
            raise GGUFError(f"{source.file} has in {ROPE_FACTORS} not {head_dim // 2} factors: {_AGAIN}")
        factors = [factor * float(each) for each in stored]
    return tuple(theta ** (-2 * i / head_dim) / each for i, each in enumerate(factors))

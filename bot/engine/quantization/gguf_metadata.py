"""What a GGUF file says of its model beside the weights: config, tokenizer, template, how it draws."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import gguf
import numpy as np

from bot.engine.config.arrays import Floats
from bot.engine.config.model_config import ModelConfig
from bot.engine.errors import EngineError
from bot.engine.text.gguf_vocabulary import gguf_vocabulary
from bot.engine.text.sampling import GenerationDefaults, read_generation_config
from bot.engine.text.tokenizer_files import read_tokenizer_files
from bot.engine.weights.model_files import ModelFiles

log = logging.getLogger(__name__)


def add_metadata(writer: gguf.GGUFWriter, model: ModelFiles, config: ModelConfig) -> None:
    """Everything that a reader must know; `config` is that of the weights in the hub's order."""
    _add_config(writer, model.name, config)
    if model.gguf is None:
        _add_all(writer, _vocabulary(model, config))
        _add_sampling(writer, read_generation_config(model.path))
        return
    kept = ("tokenizer.", "general.sampling.")
    _add_all(writer, {key: each for key, each in model.source.metadata.items() if key.startswith(kept)})


def rope_factors(config: ModelConfig) -> Floats | None:
    """What the rotary frequencies are divided by, [head_dim / 2]; None where it is one number for all."""
    factors = _factors(config)
    if np.allclose(factors, factors[0], rtol=1e-5):
        return None
    if config.model_type != "llama":
        log.warning(
            "llama.cpp cannot read the GGUF file: it knows no such rotary scaling of %s", config.model_type
        )
    return factors


def _factors(config: ModelConfig) -> Floats:
    plain = _theta(config) ** (-2 * np.arange(config.head_dim // 2) / config.head_dim)
    factors: Floats = (plain / np.array(config.inv_freq)).astype(np.float32)
    return factors


def _theta(config: ModelConfig) -> float:
    """The base of the rotary frequencies, of which no scaling stretches the first two apart."""
    if config.head_dim < 4:
        return 10000.0
    return float((config.inv_freq[0] / config.inv_freq[1]) ** (config.head_dim / 2))


def _add_config(writer: gguf.GGUFWriter, name: str, config: ModelConfig) -> None:
    writer.add_name(name)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_K_M)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_block_count(config.num_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_heads)
    writer.add_head_count_kv(config.num_kv_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(_theta(config))
    if rope_factors(config) is None and not np.isclose(factor := float(_factors(config)[0]), 1, rtol=1e-5):
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(factor)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)


def _vocabulary(model: ModelFiles, config: ModelConfig) -> Mapping[str, Any]:
    try:
        found = gguf_vocabulary(read_tokenizer_files(model.path), config.vocab_size)
    except EngineError as problem:  # a start will say so
        log.info("the GGUF file has no tokenizer: %s", problem)
        return {}
    if found is None:
        log.warning(
            "llama.cpp cannot read the GGUF file: there is no known name for a tokenizer of this kind"
        )
    return found or {}


def _add_sampling(writer: gguf.GGUFWriter, defaults: GenerationDefaults) -> None:
    writer.add_sampling_temp(defaults.temperature if defaults.sample else 0.0)
    writer.add_sampling_top_k(defaults.top_k)
    writer.add_sampling_top_p(defaults.top_p)
    writer.add_sampling_penalty_repeat(defaults.repetition_penalty)


def _add_all(writer: gguf.GGUFWriter, metadata: Mapping[str, Any]) -> None:
    for key, value in metadata.items():
        if isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        else:
            writer.add_array(key, value if isinstance(value, list) else np.asarray(value).tolist())

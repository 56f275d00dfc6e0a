"""A Qwen2 GGUF file turned into a model directory as the hub has them, a piece of a tensor at a time.

The weights are stored in float16. Three of four quantized formats multiply a float16 scale with a
small whole number, of which bfloat16 would keep 8 bits of mantissa and float16 keeps 11, at the same
size on disk; nothing in a language model's weights comes near float16's limit of 65,504. Norms and
biases are small and stay in float32.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, ReaderTensor, dequantize
from numpy.typing import NDArray
from tqdm import tqdm

from bot.engine.config.arrays import DTYPES
from bot.engine.errors import EngineError
from bot.engine.weights.checkpoint import SAFETENSORS
from bot.engine.weights.gguf_tokenizer import Vocabulary, write_tokenizer
from bot.engine.weights.safetensors import SafetensorsWriter

_NUMBERS = 1 << 22  # dequantized at once: 16 MB in float32
# The two copies of a tied matrix differ by their rounding: 4% where one has 5 bits a number.
_SAME = 0.1
_OUTER = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_INNER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


class ConversionError(EngineError):
    """A GGUF file that cannot be converted; the message says why."""


def convert_gguf(file: Path, directory: Path) -> None:
    """Write the model in `file` into the existing `directory`. Raises ConversionError.

    Written are model.safetensors, config.json, generation_config.json and the tokenizer's files.
    """
    print(f"reading {file.name}: some seconds", file=sys.stderr)
    try:
        reader = GGUFReader(file)
    except ValueError as problem:
        raise ConversionError(f"{file} is not a GGUF file: {problem}") from None
    architecture = _field(reader, "general.architecture")
    if architecture != "qwen2":  # the only family whose query and key rows GGUF leaves in place
        raise ConversionError(
            f"{file} holds a model of the kind {architecture!r}; only qwen2 can be converted"
        )
    if _field(reader, "tokenizer.ggml.pre") != "qwen2":
        raise ConversionError(f"{file} has another tokenizer than Qwen2's")
    tensors = {str(tensor.name): tensor for tensor in reader.tensors}
    tied = _merge_tied(tensors)
    with (
        tqdm(total=_bytes(tensors), desc="converting", unit="B", unit_scale=True) as bar,
        SafetensorsWriter(directory / SAFETENSORS, {"format": "pt"}) as writer,
    ):
        for name, tensor in sorted(tensors.items()):
            # GGUF names the fastest dimension first.
            dtype, shape = _dtype(tensor), tuple(int(size) for size in reversed(tensor.shape))
            writer.add_pieces(_hub_name(name), dtype, shape, _converted(tensor, name, dtype, bar.update))
    vocabulary = Vocabulary(
        tokens=_field(reader, "tokenizer.ggml.tokens"),
        types=_field(reader, "tokenizer.ggml.token_type"),
        merges=_field(reader, "tokenizer.ggml.merges"),
        eos_token_id=_field(reader, "tokenizer.ggml.eos_token_id"),
        padding=_field(reader, "tokenizer.ggml.padding_token_id"),
        template=_field(reader, "tokenizer.chat_template"),
    )
    write_tokenizer(vocabulary, directory)
    _write_json(directory / "config.json", _config(reader, vocabulary, tied))
    _write_json(directory / "generation_config.json", _generation_config(vocabulary))


def _merge_tied(tensors: dict[str, ReaderTensor]) -> bool:
    """Whether head and embedding are one matrix; if so only the copy with more bits is left.

    GGUF keeps the two apart where they are quantized differently.
    """
    head, embedding = tensors.get("output.weight"), tensors["token_embd.weight"]
    if head is None:
        return True
    for one, other in zip(_pieces(head), _pieces(embedding), strict=True):
        if np.linalg.norm(one - other) > _SAME * np.linalg.norm(one):
            return False
    tensors["token_embd.weight"] = head if head.n_bytes > embedding.n_bytes else embedding
    del tensors["output.weight"]
    return True


def _dtype(tensor: ReaderTensor) -> str:
    return "F32" if len(tensor.shape) == 1 else "F16"


def _bytes(tensors: Mapping[str, ReaderTensor]) -> int:
    """Of all tensors, as they are written."""
    return sum(int(np.prod(each.shape)) * DTYPES[_dtype(each)].itemsize for each in tensors.values())


def _converted(
    tensor: ReaderTensor, name: str, dtype: str, progress: Callable[[int], object]
) -> Iterator[NDArray[Any]]:
    """The numbers in their new dtype. Raises ConversionError for one that it cannot hold."""
    for piece in _pieces(tensor):
        with np.errstate(over="ignore"):  # it is told below
            numbers = piece.astype(DTYPES[dtype])
        if not np.isfinite(numbers).all():
            raise ConversionError(f"{name} has a number that {dtype} cannot hold")
        yield numbers
        progress(numbers.nbytes)


def _pieces(tensor: ReaderTensor) -> Iterator[NDArray[Any]]:
    """The numbers of `tensor` in float32, some rows at a time."""
    rows = np.atleast_2d(tensor.data)
    step = max(1, _NUMBERS // int(tensor.shape[0]))
    for start in range(0, len(rows), step):
        yield dequantize(rows[start : start + step], tensor.tensor_type)


def _hub_name(name: str) -> str:
    """A tensor's name in the files of the hub."""
    if name in _OUTER:
        return _OUTER[name]
    block, _, rest = name.removeprefix("blk.").partition(".")
    part, _, suffix = rest.rpartition(".")
    if not block.isdecimal() or part not in _INNER or suffix not in ("weight", "bias"):
        raise ConversionError(f"the tensor {name!r} is not one of Qwen2's")
    return f"model.layers.{block}.{_INNER[part]}.{suffix}"


def _config(reader: GGUFReader, vocabulary: Vocabulary, tied: bool) -> dict[str, Any]:
    layers = _field(reader, "qwen2.block_count")
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "attention_dropout": 0.0,
        "bos_token_id": vocabulary.padding,
        "eos_token_id": vocabulary.eos_token_id,
        "hidden_act": "silu",
        "hidden_size": _field(reader, "qwen2.embedding_length"),
        "initializer_range": 0.02,
        "intermediate_size": _field(reader, "qwen2.feed_forward_length"),
        "max_position_embeddings": _field(reader, "qwen2.context_length"),
        "max_window_layers": layers,
        "num_attention_heads": _field(reader, "qwen2.attention.head_count"),
        "num_hidden_layers": layers,
        "num_key_value_heads": _field(reader, "qwen2.attention.head_count_kv"),
        # Stored as float32, where 1e-6 is 9.99999997e-07.
        "rms_norm_eps": round(_field(reader, "qwen2.attention.layer_norm_rms_epsilon"), 12),
        "rope_theta": _field(reader, "qwen2.rope.freq_base"),
        "tie_word_embeddings": tied,
        "torch_dtype": "float16",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": len(vocabulary.tokens),
    }


def _generation_config(vocabulary: Vocabulary) -> dict[str, Any]:
    """What the Qwen2.5 family publishes beside its 0.5B model; GGUF does not carry it."""
    return {
        "bos_token_id": vocabulary.padding,
        "do_sample": True,
        "eos_token_id": [vocabulary.eos_token_id, vocabulary.padding],
        "pad_token_id": vocabulary.padding,
        "repetition_penalty": 1.1,
        "temperature": 0.7,
        "top_k": 20,
        "top_p": 0.8,
    }


def _field(reader: GGUFReader, name: str) -> Any:
    found = reader.get_field(name)
    if found is None:
        raise ConversionError(f"the GGUF file lacks {name}")
    return found.contents()


def _write_json(file: Path, values: dict[str, Any]) -> None:
    file.write_text(json.dumps(values, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")

"""Small random models as directories and as GGUF files: real in every part, and quick."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFWriter, TokenType, quantize
from tokenizers import pre_tokenizers

from bot.engine.text.gguf_tokenizer import gguf_tokenizer
from bot.engine.weights.gguf_checkpoint import INNER, OUTER

MERGES = ("h e", "Ġ he", "l l", "he ll", "hell o")
CONTROLS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SIZES: dict[str, Any] = {
    "vocab_size": 272,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "rope_theta": 1e6,
    "initializer_range": 0.3,
}


@dataclass(frozen=True)
class Vocabulary:
    """A vocabulary as GGUF has it: token texts and types by id, and merges as "left right"."""

    tokens: Sequence[str]
    types: Sequence[int]
    merges: Sequence[str]
    eos_token_id: int  # ends a turn
    padding: int
    template: str  # the chat template, in Jinja

    @property
    def metadata(self) -> dict[str, Any]:
        """As they stand in a GGUF file, and as our reader gives them."""
        return {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": "qwen2",
            "tokenizer.ggml.tokens": list(self.tokens),
            "tokenizer.ggml.token_type": np.array(self.types, np.int32),
            "tokenizer.ggml.merges": list(self.merges),
            "tokenizer.ggml.eos_token_id": self.eos_token_id,
            "tokenizer.ggml.padding_token_id": self.padding,
            "tokenizer.chat_template": self.template,
        }


def write_tokenizer(words: Vocabulary, directory: Path) -> None:
    """Write the tokenizer's files into `directory`, as the hub has them."""
    gguf_tokenizer(words.metadata, directory).tokenizer.save(str(directory / "tokenizer.json"), pretty=False)
    end, padding = words.tokens[words.eos_token_id], words.tokens[words.padding]
    flags = dict.fromkeys(("lstrip", "normalized", "rstrip", "single_word"), False)
    added = {
        str(at): {"content": words.tokens[at], **flags, "special": kind == TokenType.CONTROL}
        for at, kind in enumerate(words.types)
        if kind in (TokenType.CONTROL, TokenType.USER_DEFINED)
    }
    settings = {
        "tokenizer_class": "Qwen2Tokenizer",
        "add_bos_token": False,
        "added_tokens_decoder": added,
        "bos_token": None,
        "chat_template": words.template,
        "clean_up_tokenization_spaces": False,
        "eos_token": end,
        "pad_token": padding,
        "unk_token": None,
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(settings, ensure_ascii=False))
    (directory / "special_tokens_map.json").write_text(json.dumps({"eos_token": end, "pad_token": padding}))


def vocabulary() -> Vocabulary:
    """Every byte, five merges, three control tokens, and unused entries up to 272."""
    normal = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *(merge.replace(" ", "") for merge in MERGES)]
    tokens = [*normal, *CONTROLS]
    types = [TokenType.NORMAL] * len(normal) + [TokenType.CONTROL] * len(CONTROLS)
    unused = [f"[PAD{number}]" for number in range(len(tokens), SIZES["vocab_size"])]
    return Vocabulary(
        tokens=tokens + unused,
        types=[int(kind) for kind in types + [TokenType.UNUSED] * len(unused)],
        merges=list(MERGES),
        eos_token_id=tokens.index("<|im_end|>"),
        padding=tokens.index("<|endoftext|>"),
        template=TEMPLATE,
    )


def random_model(family: str = "qwen2", **sizes: Any) -> Any:
    """A model of transformers' own, its weights such that float16 holds them exactly."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(11)
    config = AutoConfig.for_model(family, **{**SIZES, **sizes})
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)  # biases are not zero then
            weight.copy_(weight.half().float())
    return model.eval()


def write_directory(directory: Path, family: str = "qwen2", **sizes: Any) -> Path:
    """The model as transformers writes it (safetensors), with a tokenizer."""
    random_model(family, **sizes).save_pretrained(directory)
    write_tokenizer(vocabulary(), directory)
    return directory


def write_offline_package(directory: Path) -> Path:
    """Exactly the five files of the mission's offline package."""
    directory.mkdir()
    model = random_model()
    torch.save(model.state_dict(), directory / "pytorch_model.bin")
    model.config.to_json_file(directory / "config.json")
    write_tokenizer(vocabulary(), directory)
    return directory


def write_gguf(
    file: Path,
    model: Any,
    embedding: str = "F16",
    head: str | None = None,
    kind: str = "qwen2",
    matrices: str = "F16",
) -> Path:
    """`model` as a GGUF file: types of the embedding, all other matrices, and a `head` if it has one."""
    config, words = model.config, vocabulary()
    writer = GGUFWriter(file, kind)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_freq_base(1e6)
    if hasattr(config, "head_dim"):
        writer.add_key_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(words.tokens)
    writer.add_token_types(words.types)
    writer.add_token_merges(list(words.merges))
    writer.add_eos_token_id(words.eos_token_id)
    writer.add_pad_token_id(words.padding)
    writer.add_chat_template(words.template)
    names = {hub: own for own, hub in OUTER.items()}
    for number in range(config.num_hidden_layers):
        for own, hub in INNER.items():
            for part in ("weight", "bias"):
                names[f"model.layers.{number}.{hub}.{part}"] = f"blk.{number}.{own}.{part}"
    weights = dict(model.state_dict())
    if kind == "llama":  # stores rows that are rotated together side by side
        for name, heads in _rotated(config).items():
            halves = weights[name].reshape(heads, 2, -1, config.hidden_size)
            weights[name] = halves.swapaxes(1, 2).reshape(weights[name].shape)
    if head is None:
        weights.pop("lm_head.weight")
    for name, weight in weights.items():
        chosen = {"model.embed_tokens.weight": embedding, "lm_head.weight": head}.get(name) or matrices
        stored = GGMLQuantizationType[chosen if weight.dim() > 1 else "F32"]
        writer.add_tensor(names[name], quantize(weight.numpy(), stored), raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _rotated(config: Any) -> dict[str, int]:
    """The heads of each weight that makes queries or keys."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    return {
        f"model.layers.{number}.self_attn.{part}.weight": count
        for number in range(config.num_hidden_layers)
        for part, count in heads.items()
    }

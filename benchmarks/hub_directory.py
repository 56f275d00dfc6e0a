"""A GGUF model as a directory of the hub, for what reads no GGUF: transformers, converters and tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file

from bot.engine.config.model_config import ModelConfig
from bot.engine.text.gguf_tokenizer import gguf_tokenizer
from bot.engine.text.sampling import gguf_generation_config
from bot.engine.weights.checkpoint import EMBEDDING
from bot.engine.weights.model_files import ModelFiles

Tensors = dict[str, torch.Tensor]
ARCHITECTURES = {"qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM", "llama": "LlamaForCausalLM"}


def write_hub_directory(
    path: Path, directory: Path, change: Callable[[Tensors, ModelConfig], Tensors] | None = None
) -> Path:
    """The model at `path` as float16 with its tokenizer, in `directory`, once. `change`: its weights."""
    if (directory / "model.safetensors").is_file():
        return directory
    write_hub_tokenizer(path, directory)
    model = ModelFiles(path)
    config, checkpoint = model.config(), model.gguf_checkpoint()
    about = {
        "architectures": [ARCHITECTURES[config.model_type]],
        "model_type": config.model_type,
        "hidden_act": "silu",
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "max_position_embeddings": config.max_position_embeddings,
        "num_attention_heads": config.num_heads,
        "num_hidden_layers": config.num_layers,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "rms_norm_eps": config.rms_norm_eps,
        "rope_theta": float(model.source.metadata[f"{config.model_type}.rope.freq_base"]),
        "tie_word_embeddings": config.tie_word_embeddings,
        "vocab_size": checkpoint.shapes[EMBEDDING][0],
        "torch_dtype": "float16",
    }
    (directory / "config.json").write_text(json.dumps(about, indent=2), encoding="utf-8")
    tensors = {name: torch.from_numpy(checkpoint.get(name).data.copy()) for name in checkpoint.shapes}
    tensors = change(tensors, config) if change is not None else tensors
    halves = {name: tensor.half() for name, tensor in tensors.items()}
    save_file(halves, directory / "model.safetensors", {"format": "pt"})
    return directory


def write_hub_tokenizer(path: Path, directory: Path) -> Path:
    """The tokenizer of the GGUF model at `path` and how it draws by itself, in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    model = ModelFiles(path)
    files = gguf_tokenizer(model.source.metadata, model.source.file)
    files.tokenizer.save(str(directory / "tokenizer.json"), pretty=False)
    added = {
        str(number): {
            "content": token.content,
            **dict.fromkeys(("lstrip", "normalized", "rstrip", "single_word"), False),
            "special": token.special,
        }
        for number, token in files.tokenizer.get_added_tokens_decoder().items()
    }
    settings = {
        "tokenizer_class": "Qwen2Tokenizer",
        "add_bos_token": files.add_bos,
        "added_tokens_decoder": added,
        "chat_template": files.template,
        "clean_up_tokenization_spaces": False,
        **{name: text or None for name, text in files.names.items()},
    }
    (directory / "tokenizer_config.json").write_text(
        json.dumps(settings, ensure_ascii=False), encoding="utf-8"
    )
    drawn = gguf_generation_config(model.source.metadata, model.source.file)
    about = {
        "do_sample": True,
        "eos_token_id": sorted(drawn.eos_token_ids),
        "temperature": drawn.temperature,
        "top_p": drawn.top_p,
        "top_k": drawn.top_k,
        "repetition_penalty": drawn.repetition_penalty,
    }
    (directory / "generation_config.json").write_text(json.dumps(about), encoding="utf-8")
    return directory

"""What `engine.py` measures: the mission's shape with random weights, and models as GGUF files."""

from __future__ import annotations

import ctypes
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from gguf import GGUFWriter
from safetensors import safe_open
from safetensors.torch import save_file

# Qwen1.5-0.5B, as its config.json on the hub has it.
MISSION = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_act": "silu",
    "hidden_size": 1024,
    "intermediate_size": 2816,
    "max_position_embeddings": 32768,
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
    "num_key_value_heads": 16,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0,
    "tie_word_embeddings": True,
    "vocab_size": 151936,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "torch_dtype": "bfloat16",
}
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json")
_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_OUTER = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}


def write_mission_shape(directory: Path, tokenizer: Path) -> Path:
    """The mission's shape with random bfloat16 weights, once; the tokenizer is the starter's."""
    if (directory / "model.safetensors").is_file():
        return directory
    directory.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER:
        if (tokenizer / name).is_file():
            shutil.copy(tokenizer / name, directory)
    (directory / "config.json").write_text(json.dumps(MISSION, indent=2), encoding="utf-8")
    generator = torch.Generator().manual_seed(1)
    hidden, mlp, vocabulary = 1024, 2816, 151936

    def random(*shape: int) -> torch.Tensor:
        return (torch.randn(shape, generator=generator) * 0.02).bfloat16()

    tensors = {
        "model.embed_tokens.weight": random(vocabulary, hidden),
        "model.norm.weight": torch.ones(hidden).bfloat16(),
    }
    for layer in range(24):
        at = f"model.layers.{layer}."
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            tensors[f"{at}self_attn.{name}.weight"] = random(hidden, hidden)
            if name != "o_proj":
                tensors[f"{at}self_attn.{name}.bias"] = random(hidden)
        tensors[f"{at}mlp.gate_proj.weight"] = random(mlp, hidden)
        tensors[f"{at}mlp.up_proj.weight"] = random(mlp, hidden)
        tensors[f"{at}mlp.down_proj.weight"] = random(hidden, mlp)
        tensors[f"{at}input_layernorm.weight"] = torch.ones(hidden).bfloat16()
        tensors[f"{at}post_attention_layernorm.weight"] = torch.ones(hidden).bfloat16()
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    return directory


def write_gguf(directory: Path, folder: Path, kind: str) -> Path:
    """The same weights for llama.cpp, quantized by its own quantizer to `kind` (Q8_0, Q4_0), once."""
    import llama_cpp

    target = folder / f"{directory.name}-{kind.lower()}.gguf"
    if target.is_file():
        return target
    half = folder / f"{directory.name}-f16.gguf"
    if not half.is_file():
        print(f"writing {half}", file=sys.stderr)
        _write_half(directory, half)
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind}")
    unfinished = target.with_suffix(".part")
    if llama_cpp.llama_model_quantize(str(half).encode(), str(unfinished).encode(), ctypes.byref(options)):
        raise SystemExit(f"llama.cpp could not quantize {half} to {kind}")
    return unfinished.rename(target)


def write_ctranslate(directory: Path, folder: Path, kind: str) -> Path:
    """The same weights for CTranslate2, quantized by its own converter to `kind` (int8), once."""
    from ctranslate2.converters import TransformersConverter

    target = folder / f"{directory.name}-ctranslate2-{kind}"
    if not (target / "model.bin").is_file():
        print(f"writing {target}", file=sys.stderr)
        TransformersConverter(str(directory), load_as_float16=False).convert(
            str(target), quantization=kind, force=True
        )
    return target


def _write_half(directory: Path, target: Path) -> None:
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    writer = GGUFWriter(target.with_suffix(".part"), "qwen2")
    writer.add_name(directory.name)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_file_type(1)
    _add_vocabulary(writer, directory, config["vocab_size"])
    with safe_open(directory / "model.safetensors", framework="pt") as weights:
        for name in weights.keys():  # noqa: SIM118  safe_open gives no mapping
            tensor = weights.get_tensor(name).float()
            wide = tensor.dim() == 2
            writer.add_tensor(_gguf_name(name), tensor.numpy().astype(np.float16 if wide else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    target.with_suffix(".part").rename(target)


def _gguf_name(name: str) -> str:
    if name in _OUTER:
        return _OUTER[name]
    _, _, layer, rest = name.split(".", 3)
    part, _, kind = rest.rpartition(".")
    return f"blk.{layer}.{_NAMES[part]}.{kind}"


def _add_vocabulary(writer: GGUFWriter, directory: Path, size: int) -> None:
    found = json.loads((directory / "tokenizer.json").read_text(encoding="utf-8"))
    tokens, types = [f"[PAD{at}]" for at in range(size)], [5] * size  # 5: unused, 1: normal, 3: control
    for text, number in found["model"]["vocab"].items():
        tokens[number], types[number] = text, 1
    for added in found["added_tokens"]:
        tokens[added["id"]], types[added["id"]] = added["content"], 3
    merges = [each if isinstance(each, str) else " ".join(each) for each in found["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_eos_token_id(151645)
    writer.add_bos_token_id(151643)

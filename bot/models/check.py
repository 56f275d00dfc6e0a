"""Whether a model directory is whole and of a kind the engine knows, told before anything is loaded.

Cheap: what the files list is compared with their sizes and with config.json; no weight is read. A file that
is shorter than it says, damaged where its contents are listed, or holds code is refused.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from bot.engine import EngineError
from bot.engine.config.model_config import ModelConfig, read_model_config
from bot.engine.factory import open_tokenizer, read_generation
from bot.engine.weights.checkpoint import INDEX, PICKLE, SAFETENSORS
from bot.engine.weights.model_files import SUFFIX, ModelFiles
from bot.engine.weights.safetensors import SafetensorsError, SafetensorsFile, Shapes
from bot.models.catalogue import ModelError, find_model
from config.settings import Settings

_AGAIN = "put the model's own file there again, or run `python -m bot fetch`"


def check_model(directory: Path, *, tokenizer: bool = True) -> None:
    """Raise ModelError, naming the file and the mend, unless the engine can open a directory or GGUF file.

    tokenizer: False leaves it to the engine, which has to read all of that large file itself.
    """
    try:
        model = ModelFiles(directory)
        if model.gguf is not None:
            _check_gguf(model, tokenizer)
            return
    except EngineError as problem:
        raise ModelError(str(problem)) from None
    if not directory.is_dir():
        raise ModelError(f"{directory} is not a directory: run `python -m bot fetch`, or correct MODEL_DIR")
    config = _read_config(directory)
    if tokenizer:
        _check_tokenizer(directory, config)
    for name in ("tokenizer_config.json", "generation_config.json"):
        if (directory / name).exists():
            read_json(directory / name)
    _check_shapes(config, *stored_shapes(directory))


def _check_gguf(model: ModelFiles, tokenizer: bool) -> None:
    """As check_model. Raises EngineError too."""
    config, checkpoint = model.config(), model.gguf_checkpoint()
    _check_shapes(config, checkpoint.files[0], checkpoint.shapes)
    read_generation(model)
    if tokenizer:
        open_tokenizer(model, config.vocab_size)


def _check_shapes(config: ModelConfig, file: Path, stored: Shapes) -> None:
    asks = "its metadata ask" if file.suffix == SUFFIX else "config.json asks"
    for name, size in _expected(config).items():
        if name not in stored:
            raise ModelError(f"{file} has no tensor {name}, which {asks} for: {_mismatch(file)}")
        if stored[name] != size:
            raise ModelError(
                f"{file}: {name} has the shape {list(stored[name])}, {asks} for {list(size)}: "
                + _mismatch(file)
            )


def find_checked_model(settings: Settings) -> Path | None:
    """The directory that the engine opens, checked; None where LLM_URL takes its place. Raises ModelError."""
    if settings.llm_url:
        return None
    directory = find_model(settings)
    check_model(directory, tokenizer=False)
    return directory


def _mismatch(file: Path) -> str:
    if file.suffix == SUFFIX:
        return "fetch it again"
    return f"put {file.name} and config.json of one model there, or run `python -m bot fetch`"


def _read_config(directory: Path) -> ModelConfig:
    file = directory / "config.json"
    if read_json(file).get("quantization_config"):
        raise ModelError(f"{file}: the weights are already quantized; use the model's unquantized files")
    try:
        return read_model_config(directory)
    except EngineError as problem:
        raise ModelError(f"{problem}; use a Qwen2, Qwen3 or Llama model") from None
    except KeyError as problem:
        raise ModelError(f"{file} lacks {problem}: put the model's own file there") from None
    except (ValueError, TypeError, ZeroDivisionError) as problem:
        raise ModelError(f"{file} is damaged ({problem}): put the model's own file there") from None


def _check_tokenizer(directory: Path, config: ModelConfig) -> None:
    file = directory / "tokenizer.json"
    tokenizer = read_json(file)
    try:
        normal = tokenizer["model"]["vocab"]
        last = max([*normal.values(), *(token["id"] for token in tokenizer["added_tokens"])])
    except (KeyError, TypeError, AttributeError, ValueError):
        raise ModelError(f"{file} has no vocabulary of byte pairs: put the model's own file there") from None
    if last >= config.vocab_size:
        raise ModelError(
            f"{file} has tokens up to {last}, the model only {config.vocab_size}: "
            "put the model's own file there"
        )


def _expected(config: ModelConfig) -> Shapes:
    """The tensors that a decoder of this config cannot do without, with their shapes."""
    queries, keys = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    layer: Shapes = {
        "input_layernorm.weight": (config.hidden_size,),
        "self_attn.q_proj.weight": (queries, config.hidden_size),
        "self_attn.k_proj.weight": (keys, config.hidden_size),
        "self_attn.v_proj.weight": (keys, config.hidden_size),
        "self_attn.o_proj.weight": (config.hidden_size, queries),
        "post_attention_layernorm.weight": (config.hidden_size,),
        "mlp.gate_proj.weight": (config.intermediate_size, config.hidden_size),
        "mlp.up_proj.weight": (config.intermediate_size, config.hidden_size),
        "mlp.down_proj.weight": (config.hidden_size, config.intermediate_size),
    }
    if config.model_type == "qwen2":
        layer |= {
            "self_attn.q_proj.bias": (queries,),
            "self_attn.k_proj.bias": (keys,),
            "self_attn.v_proj.bias": (keys,),
        }
    if config.model_type == "qwen3":
        layer |= {
            "self_attn.q_norm.weight": (config.head_dim,),
            "self_attn.k_norm.weight": (config.head_dim,),
        }
    expected: Shapes = {
        "model.embed_tokens.weight": (config.vocab_size, config.hidden_size),
        "model.norm.weight": (config.hidden_size,),
    }
    if not config.tie_word_embeddings:
        expected["lm_head.weight"] = (config.vocab_size, config.hidden_size)
    for number in range(config.num_layers):
        expected |= {f"model.layers.{number}.{name}": size for name, size in layer.items()}
    return expected


def stored_shapes(directory: Path) -> tuple[Path, Shapes]:
    """The file that was read (an index, where the weights are in several) and its shapes by name.

    The first of model.safetensors, its index and pytorch_model.bin that is there counts, as in
    the engine. Raises ModelError naming the file.
    """
    if (directory / SAFETENSORS).is_file():
        return directory / SAFETENSORS, _read_safetensors(directory / SAFETENSORS)
    if (directory / INDEX).is_file():
        return directory / INDEX, _read_shards(directory / INDEX)
    if (directory / PICKLE).is_file():
        return directory / PICKLE, _read_pickle(directory / PICKLE)
    raise ModelError(f"{directory} has no weights: put {SAFETENSORS} or {PICKLE} there")


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file of a model. Raises ModelError."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{file} is missing: {_AGAIN}") from None
    except (OSError, ValueError) as problem:
        raise ModelError(f"{file} is damaged ({problem}): {_AGAIN}") from None
    if not isinstance(found, dict):
        raise ModelError(f"{file} does not hold a JSON object: {_AGAIN}")
    return found


def _read_safetensors(file: Path) -> Shapes:
    try:
        return SafetensorsFile(file).shapes
    except (SafetensorsError, OSError) as problem:
        raise ModelError(f"{file} {problem}: {_AGAIN}") from None


def _read_shards(index: Path) -> Shapes:
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise ModelError(f"{index} has no weight_map: {_AGAIN}")
    shapes: Shapes = {}
    for name in sorted(set(places.values())):
        shard = index.parent / name
        if Path(name).name != name or not shard.is_file():
            raise ModelError(f"{shard} is missing, which {index.name} names: {_AGAIN}")
        found = _read_safetensors(shard)
        if lost := {tensor for tensor, place in places.items() if place == name} - found.keys():
            raise ModelError(f"{shard} has no tensor {min(lost)}, which {index.name} places there: {_AGAIN}")
        shapes.update(found)
    return shapes


def _read_pickle(file: Path) -> Shapes:
    """torch's own restricted reading: only tensors come out, and the numbers stay in the file."""
    import torch  # imported where it is used only

    try:
        found = torch.load(file, map_location="cpu", mmap=True, weights_only=True)
    except Exception as problem:  # torch names a bad file in many ways; each is the file's fault
        if code := re.search(r"(?i)unsupported (?:global: )?global ([\w.]+)", str(problem)):
            raise ModelError(
                f"{file} holds code ({code[1]}) and not only tensors: it is not opened; "
                f"use the model's {SAFETENSORS} instead"
            ) from None
        raise ModelError(f"{file} is cut short or damaged: {_AGAIN}") from None
    if not isinstance(found, dict) or not all(isinstance(each, torch.Tensor) for each in found.values()):
        raise ModelError(f"{file} does not hold tensors by name: use the model's {SAFETENSORS} instead")
    return {str(name): tuple(tensor.shape) for name, tensor in found.items()}

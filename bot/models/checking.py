"""Whether a model directory is whole and of a kind the engine knows, told before anything is loaded.

Cheap: what the files list is compared with their sizes and with config.json; no weight is read.
"""

from __future__ import annotations

from pathlib import Path

from bot.engine import EngineError
from bot.engine.shape import Shape, read_shape
from bot.models.errors import ModelError
from bot.models.stored import Shapes, read_json, stored_shapes


def check_model(directory: Path, *, tokenizer: bool = True) -> None:
    """Raise ModelError, naming the file and the mend, unless the engine can open `directory`.

    tokenizer: False leaves it to the engine, which has to read all of that large file itself.
    """
    if not directory.is_dir():
        raise ModelError(f"{directory} is not a directory: run `python -m bot fetch`, or correct MODEL_DIR")
    shape = _read_config(directory)
    if tokenizer:
        _check_tokenizer(directory, shape)
    for name in ("tokenizer_config.json", "generation_config.json"):
        if (directory / name).exists():
            read_json(directory / name)
    file, stored = stored_shapes(directory)
    for name, size in _expected(shape).items():
        if name not in stored:
            raise ModelError(f"{file} has no tensor {name}, which config.json asks for: {_mismatch(file)}")
        if stored[name] != size:
            raise ModelError(
                f"{file}: {name} has the shape {list(stored[name])}, config.json asks for {list(size)}: "
                + _mismatch(file)
            )


def _mismatch(file: Path) -> str:
    return f"put {file.name} and config.json of one model there, or run `python -m bot fetch`"


def _read_config(directory: Path) -> Shape:
    file = directory / "config.json"
    config = read_json(file)
    if config.get("quantization_config"):
        raise ModelError(f"{file}: the weights are already quantised; use the model's unquantised files")
    try:
        return read_shape(directory)
    except EngineError as problem:
        raise ModelError(f"{problem}; use a Qwen2, Qwen3 or Llama model") from None
    except KeyError as problem:
        raise ModelError(f"{file} lacks {problem}: put the model's own file there") from None
    except (ValueError, TypeError, ZeroDivisionError) as problem:
        raise ModelError(f"{file} is damaged ({problem}): put the model's own file there") from None


def _check_tokenizer(directory: Path, shape: Shape) -> None:
    file = directory / "tokenizer.json"
    tokenizer = read_json(file)
    try:
        normal = tokenizer["model"]["vocab"]
        last = max([*normal.values(), *(token["id"] for token in tokenizer["added_tokens"])])
    except (KeyError, TypeError, AttributeError, ValueError):
        raise ModelError(f"{file} has no vocabulary of byte pairs: put the model's own file there") from None
    if last >= shape.vocabulary:
        raise ModelError(
            f"{file} has tokens up to {last}, the model only {shape.vocabulary}: "
            "put the model's own file there"
        )


def _expected(shape: Shape) -> Shapes:
    """The tensors that a decoder of this shape cannot do without."""
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    layer: Shapes = {
        "input_layernorm.weight": (shape.hidden,),
        "self_attn.q_proj.weight": (queries, shape.hidden),
        "self_attn.k_proj.weight": (keys, shape.hidden),
        "self_attn.v_proj.weight": (keys, shape.hidden),
        "self_attn.o_proj.weight": (shape.hidden, queries),
        "post_attention_layernorm.weight": (shape.hidden,),
        "mlp.gate_proj.weight": (shape.mlp, shape.hidden),
        "mlp.up_proj.weight": (shape.mlp, shape.hidden),
        "mlp.down_proj.weight": (shape.hidden, shape.mlp),
    }
    if shape.family == "qwen2":
        layer |= {
            "self_attn.q_proj.bias": (queries,),
            "self_attn.k_proj.bias": (keys,),
            "self_attn.v_proj.bias": (keys,),
        }
    if shape.family == "qwen3":
        layer |= {"self_attn.q_norm.weight": (shape.head_dim,), "self_attn.k_norm.weight": (shape.head_dim,)}
    expected: Shapes = {
        "model.embed_tokens.weight": (shape.vocabulary, shape.hidden),
        "model.norm.weight": (shape.hidden,),
    }
    if not shape.tied:
        expected["lm_head.weight"] = (shape.vocabulary, shape.hidden)
    for number in range(shape.layers):
        expected |= {f"model.layers.{number}.{name}": size for name, size in layer.items()}
    return expected

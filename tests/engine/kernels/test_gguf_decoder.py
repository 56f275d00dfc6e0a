"""A GGUF file's blocks are multiplied as they are: answers are those of the same numbers in float32."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from random_model import random_model
from rounded_decoder import CLOSE, error, rounded

from bot.engine import EngineError
from bot.engine.config.arrays import Floats
from bot.engine.config.model_config import ModelConfig, read_model_config
from bot.engine.factory import open_decoder
from bot.engine.kernels.bindings import choose_kernels, runnable
from bot.engine.kernels.decoder import CompiledDecoder
from bot.engine.model.decoder import Chunk
from bot.engine.weights.block_formats import GGUF_FORMATS
from bot.engine.weights.checkpoint import EMBEDDING, lm_head_name
from bot.engine.weights.gguf import GGUFFile
from bot.engine.weights.gguf_checkpoint import GGUFCheckpoint
from bot.engine.weights.gguf_parts import gguf_parts, other_formats

NAMES = {
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}
NORMS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "q_norm": "attn_q_norm",
    "k_norm": "attn_k_norm",
}
# Of a weight, about: what its scale is multiplied with.
_CODE = {"Q4_0": 4.6, "Q5_0": 9.2, "Q8_0": 74.0, "Q4_K": 160.0, "Q5_K": 330.0, "Q6_K": 1350.0}
# As files called Q4_K_M have it: more bits where it matters.
MIXED = {"attn_v": "Q6_K", "ffn_down": "Q6_K", "output": "Q8_0"}


def random_rows(rng: np.random.Generator, format: str, outputs: int, inputs: int) -> NDArray[np.uint8]:
    """Any bytes with scales that make weights of 0.03, about."""
    block = GGUF_FORMATS[format]
    rows = rng.integers(0, 256, (outputs, inputs // block.inputs, block.size), dtype=np.uint8)
    scales = (0.03 / _CODE[format] * rng.uniform(0.5, 1.5, rows.shape[:2])).astype("<f2")
    at = block.scale_at or 0
    rows[:, :, at : at + 2] = scales[..., None].view(np.uint8)
    if block.scale_at is None:  # the least, so that weights are about as often below zero as above
        middle = 7.5 if format == "Q4_K" else 15.5
        rows[:, :, 2:4] = (scales * middle).astype("<f2")[..., None].view(np.uint8)
    return rows.reshape(outputs, -1)


def halves_apart(numbers: Floats, heads: int) -> Floats:
    """Rows of Llama's queries or keys as the hub has them: in a GGUF file neighbours rotate together."""
    return numbers.reshape(heads, -1, 2, numbers.shape[1]).swapaxes(1, 2).reshape(numbers.shape)


def write_model(
    directory: Path, family: str, formats: dict[str, str], default: str
) -> tuple[GGUFCheckpoint, ModelConfig]:
    """A GGUF file of random blocks, and beside it the same numbers as the hub has them, in float32."""
    sizes = {"hidden_size": 256, "intermediate_size": 512, "vocab_size": 320}
    sizes |= {"head_dim": 64} if family == "qwen3" else {}
    model, rng = random_model(family, **sizes), np.random.default_rng(5)
    config = model.config
    writer = gguf.GGUFWriter(directory / "model.gguf", family)
    for name, weight in sorted(model.state_dict().items()):
        *_, module, kind = name.split(".")
        at = f"blk.{name.split('.')[2]}." if ".layers." in name else ""
        if (module in NAMES and kind == "weight") or module in ("embed_tokens", "lm_head"):
            source = {"embed_tokens": "token_embd", "lm_head": "output"}.get(module) or NAMES[module]
            format = formats.get(source, default)
            if format == "F16":
                writer.add_tensor(f"{at}{source}.weight", weight.numpy().astype(np.float16))
                continue
            rows, kind_of_block = random_rows(rng, format, *weight.shape), gguf.GGMLQuantizationType[format]
            numbers = gguf.dequantize(rows, kind_of_block)
            if family == "llama" and module in ("q_proj", "k_proj"):
                heads = config.num_attention_heads if module == "q_proj" else config.num_key_value_heads
                numbers = halves_apart(numbers, heads)
            with torch.no_grad():
                weight.copy_(torch.from_numpy(numbers.copy()))
            writer.add_tensor(f"{at}{source}.weight", rows, raw_dtype=kind_of_block)
        else:
            source = {"norm": "output_norm"}.get(module) or {**NAMES, **NORMS}[module]
            writer.add_tensor(f"{at}{source}.{kind}", weight.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    model.save_pretrained(directory / "hub")
    read = read_model_config(directory / "hub")
    config = replace(read, rope_adjacent=family == "llama")
    return GGUFCheckpoint(GGUFFile(directory / "model.gguf"), config), config


def compiled(file: GGUFCheckpoint, config: ModelConfig, kernels: str) -> CompiledDecoder:
    rows = file.rows_of(EMBEDDING), file.rows_of(lm_head_name(file, config))
    return CompiledDecoder(config, "gguf", dict(gguf_parts(file, config)), *rows, choose_kernels(kernels), 2)


@pytest.mark.parametrize("kernels", runnable())
@pytest.mark.parametrize(
    ("family", "default"),
    [
        *(("qwen2", format) for format in GGUF_FORMATS),
        ("qwen3", "Q4_K"),
        ("llama", "Q4_K"),
        ("llama", "Q5_0"),
    ],
)
def test_it_answers_as_the_same_numbers_in_float32(
    tmp_path: Path, family: str, default: str, kernels: str
) -> None:
    formats = MIXED if default == "Q4_K" else {}
    file, config = write_model(tmp_path, family, formats, default)
    found, expected = compiled(file, config, kernels), rounded(open_decoder(tmp_path / "hub", "fp32"))
    ids = [(7 * at + 3) % 250 for at in range(40)]
    states = []
    for decoder in (found, expected):
        cache = decoder.new_cache()
        parts = [
            decoder.forward([Chunk(some, cache)])
            for some in (ids[:33], ids[33:35], *([at] for at in ids[35:]))
        ]
        states.append(np.concatenate(parts))
    assert error(states[0], states[1]) < CLOSE
    some = [3, 250, 9]
    assert error(found.logits(states[0], some), expected.logits(states[0], some)) < 1e-5, (
        "the file's own numbers"
    )
    assert error(found.logits(states[0]), expected.logits(states[0])) < CLOSE


def test_a_format_that_is_not_multiplied_is_named_with_its_tensor(tmp_path: Path) -> None:
    file, config = write_model(tmp_path, "qwen2", {"ffn_up": "F16"}, "Q8_0")
    ups = {f"blk.{number}.ffn_up.weight": "F16" for number in range(config.num_layers)}
    assert other_formats(file, config) == ups
    with pytest.raises(EngineError, match=r"blk\.0\.ffn_up\.weight in F16.*PRECISION=int8"):
        dict(gguf_parts(file, config))

"""A tokenizer as the metadata of a GGUF file: what `gguf_tokenizer` reads."""

from __future__ import annotations

import json
from typing import Any

from bot.engine.text.gguf_tokenizer import (
    CONTROL,
    NORMAL,
    PRE_TOKENIZERS,
    UNUSED,
    USER_DEFINED,
    words_pattern,
)
from bot.engine.text.tokenizer_files import TokenizerFiles

# The token of each that ends a turn, where it is not the one that ends a text.
_TURN_ENDS = ("<|im_end|>", "<|eot_id|>")


def gguf_vocabulary(files: TokenizerFiles, size: int) -> dict[str, Any] | None:
    """The metadata, with `size` tokens, as many as the embedding has rows.

    None for a tokenizer that does not merge bytes as Qwen2's and Llama 3's do, or has more: others are not
    written.
    """
    parts = json.loads(files.tokenizer.to_str())
    if (pre := _pre_tokenizer(parts)) is None:
        return None
    ids = files.tokenizer.get_vocab(with_added_tokens=True)
    added = files.tokenizer.get_added_tokens_decoder()
    if max(ids.values()) >= size:
        return None
    tokens, types = [f"[PAD{at}]" for at in range(size)], [UNUSED] * size
    for text, at in ids.items():
        tokens[at], types[at] = text, NORMAL
    for at, token in added.items():
        types[at] = CONTROL if token.special else USER_DEFINED
    named = {
        "eos": files.names["eos_token"],
        "bos": files.names["bos_token"],
        "padding": files.names["pad_token"],
        "eot": next((text for text in _TURN_ENDS if text in ids), ""),
    }
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": [
            merge if isinstance(merge, str) else " ".join(merge) for merge in parts["model"]["merges"]
        ],
        "tokenizer.ggml.add_bos_token": files.add_bos,
        "tokenizer.chat_template": files.template,
        **{f"tokenizer.ggml.{name}_token_id": ids[text] for name, text in named.items() if text in ids},
    }


def _pre_tokenizer(parts: dict[str, Any]) -> str | None:
    """Which of the known ways of cutting words the parts of a `tokenizer.json` have."""
    model, cut = parts["model"], parts.get("pre_tokenizer") or {}
    if model["type"] != "BPE" or model.get("byte_fallback"):
        return None
    steps = cut.get("pretokenizers", [cut])
    patterns = [step["pattern"].get("Regex") for step in steps if step["type"] == "Split"]
    return next((name for name in PRE_TOKENIZERS if patterns == [words_pattern(name)]), None)

"""The Qwen2 tokenizer's files, written from the vocabulary and merges that a GGUF file holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE

# How Qwen2 cuts text into words before it merges bytes (its published tokenizer.json).
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_NORMAL, _CONTROL, _USER_DEFINED = 1, 3, 4  # token types of the GGUF specification; 5 fills up the table
_ADDED = (_CONTROL, _USER_DEFINED)  # no merge makes them


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
    def added(self) -> list[int]:
        """Ids of the tokens that no merge makes."""
        return [at for at, token_type in enumerate(self.types) if token_type in _ADDED]


def write_tokenizer(vocabulary: Vocabulary, directory: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and special_tokens_map.json into `directory`."""
    build_tokenizer(vocabulary).save(str(directory / "tokenizer.json"), pretty=False)
    end, padding = vocabulary.tokens[vocabulary.eos_token_id], vocabulary.tokens[vocabulary.padding]
    controls = [vocabulary.tokens[at] for at in vocabulary.added if _is_control(vocabulary, at)]
    _write_json(
        directory / "tokenizer_config.json",
        {
            "tokenizer_class": "Qwen2Tokenizer",
            "add_bos_token": False,
            "add_prefix_space": False,
            "added_tokens_decoder": {str(at): _describe(vocabulary, at) for at in vocabulary.added},
            "additional_special_tokens": [token for token in controls if token not in (end, padding)],
            "bos_token": None,
            "chat_template": vocabulary.template,
            "clean_up_tokenization_spaces": False,
            "eos_token": end,
            "errors": "replace",
            "model_max_length": 32768,
            "pad_token": padding,
            "split_special_tokens": False,
            "unk_token": None,
        },
    )
    _write_json(directory / "special_tokens_map.json", {"eos_token": end, "pad_token": padding})


def build_tokenizer(vocabulary: Vocabulary) -> Tokenizer:
    """The Qwen2 tokenizer over `vocabulary`. Raises ValueError where a merge does not fit it."""
    normal = {
        token: at
        for at, (token, token_type) in enumerate(zip(vocabulary.tokens, vocabulary.types, strict=True))
        if token_type == _NORMAL
    }
    merges = [(left, right) for left, _, right in (merge.partition(" ") for merge in vocabulary.merges)]
    tokenizer = Tokenizer(BPE(vocab=normal, merges=merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False),
        ]
    )
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    # Added tokens get the ids after the normal ones, in this order.
    tokenizer.add_tokens(
        [
            AddedToken(vocabulary.tokens[at], special=_is_control(vocabulary, at), normalized=False)
            for at in vocabulary.added
        ]
    )
    for at in vocabulary.added:
        if tokenizer.token_to_id(vocabulary.tokens[at]) != at:
            raise ValueError(f"the vocabulary has a gap before token {at}")
    return tokenizer


def _is_control(vocabulary: Vocabulary, at: int) -> bool:
    return vocabulary.types[at] == _CONTROL


def _describe(vocabulary: Vocabulary, at: int) -> dict[str, Any]:
    flags = dict.fromkeys(("lstrip", "normalized", "rstrip", "single_word"), False)
    return {"content": vocabulary.tokens[at], **flags, "special": _is_control(vocabulary, at)}


def _write_json(file: Path, values: dict[str, Any]) -> None:
    file.write_text(json.dumps(values, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")

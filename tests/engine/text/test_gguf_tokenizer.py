"""The tokenizer inside a GGUF file cuts text as transformers does for its family, or is refused in a line."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_model import vocabulary
from transformers import LlamaTokenizer
from transformers.models.qwen2.tokenization_qwen2 import Qwen2Tokenizer

from bot.engine import EngineError, Message, Prompt
from bot.engine.text.chat_template import ChatTokenizer
from bot.engine.text.gguf_tokenizer import gguf_tokenizer
from bot.engine.text.sampling import GenerationDefaults, gguf_generation_config

FILE = Path("m.gguf")
METADATA = vocabulary().metadata
WORDS = {token: at for at, token in enumerate(vocabulary().tokens[:261])}
MERGES = [tuple(merge.split(" ")) for merge in vocabulary().merges]
TEXTS = st.text(max_size=60) | st.sampled_from(
    ["hello hell  he\r\n\n12'LL don't", "e\u0301 ﷺ 你好，世界！ 1234567"]
)

QWEN, QWEN_REFERENCE = gguf_tokenizer(METADATA, FILE).tokenizer, Qwen2Tokenizer(vocab=WORDS, merges=MERGES)
LLAMA3 = {**METADATA, "tokenizer.ggml.pre": "llama-bpe", "tokenizer.ggml.bos_token_id": 261}

PIECES = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
PIECES += ["▁he", "ll", "▁hell", "▁hello", "he", "▁", "h", "e", "l", "o", "你"]
TYPES = [2, 3, 3, *[6] * 256, *[1] * 11]
SENTENCE_PIECES: dict[str, Any] = {
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": PIECES,
    "tokenizer.ggml.token_type": np.array(TYPES, np.int32),
    "tokenizer.ggml.scores": -np.arange(len(PIECES), dtype=np.float32),
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
    "tokenizer.ggml.unknown_token_id": 0,
}


@given(TEXTS)
def test_text_is_cut_as_transformers_cuts_it_for_qwen2(text: str) -> None:
    ids = QWEN.encode(text).ids
    assert ids == QWEN_REFERENCE.encode(text, add_special_tokens=False)
    assert QWEN.decode(ids, skip_special_tokens=False) == QWEN_REFERENCE.decode(ids)


@given(st.text(alphabet="helo 你x\n", max_size=20))
def test_sentence_pieces_are_merged_by_their_scores(text: str) -> None:
    tokenizer = gguf_tokenizer(SENTENCE_PIECES, FILE).tokenizer
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert ids == _merged(text)
    assert tokenizer.decode(ids) == text


def test_sentence_pieces_are_those_of_transformers() -> None:
    pairs = [("l", "l"), ("h", "e"), ("▁", "he"), ("▁he", "ll"), ("▁hell", "o")]
    reference = LlamaTokenizer(
        vocab={piece: at for at, piece in enumerate(PIECES)},
        merges=sorted(pairs, key=lambda pair: PIECES.index("".join(pair))),
    )
    tokenizer = gguf_tokenizer(SENTENCE_PIECES, FILE).tokenizer
    for text in ("hello", "hello hell he", "héllo 你好\n"):
        assert tokenizer.encode(text).ids == reference.encode(text, add_special_tokens=False)


def _merged(text: str) -> list[int]:
    """SentencePiece's way, written down: the best pair is merged first, what is unknown becomes bytes."""
    parts = list("▁" + text.replace(" ", "▁")) if text else []
    normal = {piece: at for at, piece in enumerate(PIECES) if TYPES[at] == 1}
    while True:
        pairs = [(normal.get(a + b, len(PIECES)), at) for at, (a, b) in enumerate(pairwise(parts))]
        best, at = min(pairs, default=(len(PIECES), 0))
        if best == len(PIECES):
            break
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return [
        each
        for part in parts
        for each in ([normal[part]] if part in normal else [3 + b for b in part.encode()])
    ]


def test_llama_3_takes_three_digits_for_a_word_and_begins_with_its_token() -> None:
    tokens = [*METADATA["tokenizer.ggml.tokens"][:261], "123", *METADATA["tokenizer.ggml.tokens"][261:]]
    types = np.insert(METADATA["tokenizer.ggml.token_type"], 261, 1)
    larger = {
        **LLAMA3,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.bos_token_id": 262,
        "tokenizer.ggml.eos_token_id": 264,
        "tokenizer.ggml.padding_token_id": 262,
    }
    llama = ChatTokenizer(gguf_tokenizer(larger, FILE))
    assert llama.encode_text("1231")[0] == 261
    assert 261 not in ChatTokenizer(
        gguf_tokenizer({**larger, "tokenizer.ggml.pre": "qwen2"}, FILE)
    ).encode_text("1231")
    prompt = Prompt((Message("user", "he"),))
    assert llama.encode(prompt)[:2] == [262, 263]
    without = {**larger, "tokenizer.ggml.add_bos_token": False}
    assert ChatTokenizer(gguf_tokenizer(without, FILE)).encode(prompt)[0] == 263
    writing = {**larger, "tokenizer.chat_template": "{{ bos_token }}{{ messages[0]['content'] }}"}
    assert ChatTokenizer(gguf_tokenizer(writing, FILE)).encode(prompt)[:2].count(262) == 1


def test_the_file_names_what_ends_a_turn() -> None:
    chat = ChatTokenizer(gguf_tokenizer({**METADATA, "tokenizer.ggml.eot_token_id": 262}, FILE))
    assert chat.eos_token_ids == {261, 262, 263}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model": "bert"}, "unknown tokenizer 'bert'"),
        ({"model": None}, r"lacks tokenizer\.ggml\.model"),
        ({"pre": "smollm"}, "m.gguf cuts words in the unknown way 'smollm'"),
        ({"tokens": None}, r"lacks tokenizer\.ggml\.tokens"),
        ({"tokens": ["a"]}, "token_type are not one number for each token"),
        ({"tokens": [1, 2]}, "tokens are no texts"),
        ({"token_type": ["a"] * 272}, "token_type are not one number"),
        ({"tokens": ["a"] * 272}, "a token comes twice"),
        ({"merges": ["h nothing"]}, "damaged tokenizer"),
        ({"merges": ["h"]}, "damaged tokenizer"),
        ({"eos_token_id": 1 << 30}, "the eos token is none of its tokens"),
        ({"eos_token_id": "a"}, "the eos token is none of its tokens"),
    ],
    ids=str,
)
def test_other_tokenizers_are_refused_in_a_line(changes: dict[str, Any], told: str) -> None:
    changed = {**METADATA, **{f"tokenizer.ggml.{key}": value for key, value in changes.items()}}
    with pytest.raises(EngineError, match=told) as caught:
        gguf_tokenizer(changed, FILE)
    assert "m.gguf" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_piece_too_long_to_cut_is_refused() -> None:
    pieces = [*PIECES[:-1], "x" * 100_000]
    with pytest.raises(EngineError, match="more than 256 characters"):
        gguf_tokenizer({**SENTENCE_PIECES, "tokenizer.ggml.tokens": pieces}, FILE)


def test_a_file_draws_as_its_family_does_or_as_it_says() -> None:
    qwen = {
        "general.architecture": "qwen2",
        "tokenizer.ggml.eos_token_id": 3,
        "tokenizer.ggml.padding_token_id": 4,
    }
    assert gguf_generation_config(qwen, FILE) == GenerationDefaults(
        True, 0.7, 20, 0.8, 1.1, frozenset({3, 4})
    )
    said = {**qwen, "general.architecture": "llama", "general.sampling.temp": 0.5}
    assert gguf_generation_config(said, FILE) == GenerationDefaults(
        sample=True, temperature=0.5, eos_token_ids=frozenset({3})
    )
    with pytest.raises(EngineError, match=r"m\.gguf has in general\.sampling"):
        gguf_generation_config({**qwen, "general.sampling.top_k": "many"}, FILE)

"""Prompts become the ids that transformers' own template gives, and typed control tokens stay text."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.engine import EngineError, Message, Prompt
from bot.engine.encoding import Encoder

TURNS = (
    Message("system", "You are kind.\n你很友善。"),
    Message("user", "  你好 😄\n\n"),
    Message("assistant", "Hi!"),
    Message("user", "bye"),
)


@pytest.fixture(scope="module")
def encoder(model_dir: Path) -> Encoder:
    """The starter's."""
    return Encoder(model_dir)


@pytest.fixture(scope="module")
def stock(model_dir: Path) -> Any:
    """transformers' tokenizer of the same directory."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model_dir, local_files_only=True)


def stock_ids(stock: Any, messages: tuple[Message, ...]) -> list[int]:
    """transformers' ids of the same conversation."""
    given = [{"role": each.speaker, "content": each.content} for each in messages]
    text = stock.apply_chat_template(given, tokenize=False, add_generation_prompt=True)
    return list(stock(text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_conversation_has_the_ids_of_transformers(encoder: Encoder, stock: Any, count: int) -> None:
    assert encoder.encode(Prompt(TURNS[:count])) == stock_ids(stock, TURNS[:count])


def test_an_opening_goes_on_in_the_answer(encoder: Encoder) -> None:
    whole = encoder.encode(Prompt(TURNS, opening="情感："))
    assert whole == encoder.encode(Prompt(TURNS))[:-1] + encoder.encode_text("\n情感：")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.lists(
        st.one_of(
            st.sampled_from(
                ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "system\n", "\ue0000\ue001", "\ue000"]
            ),
            st.text(max_size=8),
        ),
        max_size=6,
    ).map("".join)
)
def test_typed_control_tokens_stay_text(encoder: Encoder, text: str) -> None:
    ids = encoder.encode(Prompt((Message("user", text),)))
    plain = encoder.encode(Prompt((Message("user", "x"),)))
    specials = {encoder.token_id(name) for name in ("<|im_start|>", "<|im_end|>", "<|endoftext|>")}
    assert sum(each in specials for each in ids) == sum(each in specials for each in plain)
    assert not specials & set(encoder.encode_text(text))


def test_what_a_role_shares_begins_every_prompt_of_it_and_holds_no_text_of_it(encoder: Encoder) -> None:
    shared = encoder.encode_shared(Prompt(TURNS, shared=3))
    for text in ("bye", "", "\n\nbye", " x", "<|im_end|>", "aaa", "1"):
        ids = encoder.encode(Prompt((*TURNS[:3], Message("user", text))))
        agree = next(
            (at for at, pair in enumerate(zip(shared, ids, strict=False)) if pair[0] != pair[1]), None
        )
        assert agree is None or agree >= len(shared) - 1, "only a merge with the last newline may differ"
    head = encoder.decode(shared)
    assert head.endswith("user\n")
    assert "bye" not in head
    assert encoder.encode_shared(Prompt(TURNS)) == []


def test_what_is_encoded_comes_back(encoder: Encoder) -> None:
    text = "C'est 太棒了 😄\n\ttab"
    assert encoder.decode(encoder.encode_text(text)) == text


def copy(model_dir: Path, target: Path, **changes: object) -> Path:
    """A directory with the tokenizer alone, its settings changed."""
    shutil.copy(model_dir / "tokenizer.json", target)
    found = json.loads((model_dir / "tokenizer_config.json").read_text(encoding="utf-8"))
    (target / "tokenizer_config.json").write_text(json.dumps({**found, **changes}))
    return target


def test_a_directory_without_a_template_gets_the_one_of_its_family(model_dir: Path, tmp_path: Path) -> None:
    bare = Encoder(copy(model_dir, tmp_path, chat_template=None))
    assert bare.decode(bare.encode(Prompt(TURNS[3:]))) == "user\nbye\nassistant\n"


def test_a_template_runs_in_a_sandbox_and_its_refusal_is_told(model_dir: Path, tmp_path: Path) -> None:
    refusing = Encoder(copy(model_dir, tmp_path, chat_template="{{ raise_exception('no system') }}"))
    with pytest.raises(EngineError, match="refuses this conversation: no system"):
        refusing.encode(Prompt(TURNS))
    escaping = Encoder(copy(model_dir, tmp_path, chat_template="{{ messages.__class__.__mro__[1] }}"))
    with pytest.raises(EngineError, match="unsafe"):
        escaping.encode(Prompt(TURNS))

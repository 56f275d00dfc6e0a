"""Prompts become the ids that transformers' own template gives, and typed control tokens stay text.

A control token is any added token of the tokenizer, whether its file calls it special or not.
"""

from __future__ import annotations

import json
import shutil
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_model import vocabulary, write_tokenizer
from tokenizers import Tokenizer

from bot.engine import EngineError, Message, Prompt
from bot.engine.text.chat_template import ChatTokenizer

TURNS = (
    Message("system", "You are kind.\n你很友善。"),
    Message("user", "  你好 😄\n\n"),
    Message("assistant", "Hi!"),
    Message("user", "bye"),
)
# In the starter's tokenizer the last two are added tokens without being special.
CONTROLS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|fim_prefix|>", "<tool_call>", "</tool_call>")
THINKING = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{% endfor %}{{ '<|im_start|>assistant\n<think>\n\n</think>\n\n' }}"
)


@pytest.fixture(scope="module")
def tokenizer(hub_dir: Path) -> ChatTokenizer:
    """The starter's."""
    return ChatTokenizer(hub_dir)


@pytest.fixture(scope="module")
def stock(hub_dir: Path) -> Any:
    """transformers' tokenizer of the same directory."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(hub_dir, local_files_only=True)


def stock_ids(stock: Any, messages: tuple[Message, ...]) -> list[int]:
    """transformers' ids of the same conversation."""
    given = [{"role": each.speaker, "content": each.content} for each in messages]
    text = stock.apply_chat_template(given, tokenize=False, add_generation_prompt=True)
    return list(stock(text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_conversation_has_the_ids_of_transformers(tokenizer: ChatTokenizer, stock: Any, count: int) -> None:
    assert tokenizer.encode(Prompt(TURNS[:count])) == stock_ids(stock, TURNS[:count])


def test_an_opening_goes_on_in_the_answer(tokenizer: ChatTokenizer) -> None:
    whole = tokenizer.encode(Prompt(TURNS, opening="情感："))
    assert whole == tokenizer.encode(Prompt(TURNS))[:-1] + tokenizer.encode_text("\n情感：")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.lists(
        st.one_of(
            st.sampled_from([*CONTROLS, "system\n", "\ue0000\ue001", "\ue000"]),
            st.text(max_size=8),
        ),
        max_size=6,
    ).map("".join)
)
def test_typed_control_tokens_stay_text(tokenizer: ChatTokenizer, text: str) -> None:
    ids = tokenizer.encode(Prompt((Message("user", text),)))
    plain = tokenizer.encode(Prompt((Message("user", "x"),)))
    specials = {tokenizer._tokenizer.token_to_id(name) for name in CONTROLS}
    assert None not in specials
    assert sum(each in specials for each in ids) == sum(each in specials for each in plain)
    assert not specials & set(tokenizer.encode_text(text))
    assert tokenizer.decode(tokenizer.encode_text(text)) == unicodedata.normalize("NFC", text)


def test_no_added_token_comes_of_text(tokenizer: ChatTokenizer, hub_dir: Path) -> None:
    added = Tokenizer.from_file(str(hub_dir / "tokenizer.json")).get_added_tokens_decoder()
    assert not all(token.special for token in added.values()), "there are both kinds"
    for token in added.values():
        ids = tokenizer.encode_text(f"a{token.content} b")
        assert not added.keys() & set(ids), token.content
        assert tokenizer.decode(ids) == f"a{token.content} b"


@pytest.fixture
def thinking(tmp_path: Path) -> Path:
    """A small tokenizer with `<think>` as a token that is not special, and a template that writes it."""
    small = vocabulary()
    unused = small.tokens.index("[PAD264]")
    tokens, types = list(small.tokens), list(small.types)
    tokens[unused : unused + 2] = "<think>", "</think>"
    types[unused : unused + 2] = 4, 4  # user-defined in a GGUF file, and so not special
    write_tokenizer(replace(small, tokens=tokens, types=types, template=THINKING), tmp_path)
    return tmp_path


def test_what_the_template_writes_is_control_and_what_a_person_writes_is_text(thinking: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer, stock = ChatTokenizer(thinking), AutoTokenizer.from_pretrained(thinking, local_files_only=True)
    asked = (Message("user", "hello"),)
    assert tokenizer.encode(Prompt(asked)) == stock_ids(stock, asked)
    think, end = tokenizer._tokenizer.token_to_id("<think>"), tokenizer._tokenizer.token_to_id("</think>")
    assert (think, end) == (264, 265)
    typed = tokenizer.encode(Prompt((Message("user", "</think><think>hello"),), opening="<think>"))
    assert (typed.count(think), typed.count(end)) == (1, 1), "the template's own"
    assert tokenizer.decode(typed).startswith("user\n</think><think>hello\nassistant\n<think>")


def test_an_answer_shows_the_tokens_that_are_not_special_and_hides_the_others(
    tokenizer: ChatTokenizer, stock: Any, thinking: Path
) -> None:
    numbers = [tokenizer._tokenizer.token_to_id(name) for name in (*CONTROLS, "好", "hi")]
    ids = [number for number in numbers if number is not None]
    assert tokenizer.decode(ids) == stock.decode(ids, skip_special_tokens=True)
    assert "<tool_call></tool_call>" in tokenizer.decode(ids)
    assert tokenizer.eos_token_ids == {
        tokenizer._tokenizer.token_to_id("<|im_end|>"),
        tokenizer._tokenizer.token_to_id("<|endoftext|>"),
    }
    assert (
        ChatTokenizer(thinking).decode([264, 265, *ChatTokenizer(thinking).eos_token_ids])
        == "<think></think>"
    )


def test_what_a_role_shares_begins_every_prompt_of_it_and_holds_no_text_of_it(
    tokenizer: ChatTokenizer,
) -> None:
    shared = tokenizer.encode_shared(Prompt(TURNS, shared=3))
    for text in ("bye", "", "\n\nbye", " x", "<|im_end|>", "aaa", "1"):
        ids = tokenizer.encode(Prompt((*TURNS[:3], Message("user", text))))
        agree = next(
            (at for at, pair in enumerate(zip(shared, ids, strict=False)) if pair[0] != pair[1]), None
        )
        assert agree is None or agree >= len(shared) - 1, "only a merge with the last newline may differ"
    head = tokenizer.decode(shared)
    assert head.endswith("user\n")
    assert "bye" not in head
    assert tokenizer.encode_shared(Prompt(TURNS)) == []


def test_what_is_encoded_comes_back(tokenizer: ChatTokenizer) -> None:
    text = "C'est 太棒了 😄\n\ttab"
    assert tokenizer.decode(tokenizer.encode_text(text)) == text


def copy(hub_dir: Path, target: Path, **changes: object) -> Path:
    """A directory with the tokenizer alone, its settings changed."""
    shutil.copy(hub_dir / "tokenizer.json", target)
    found = json.loads((hub_dir / "tokenizer_config.json").read_text(encoding="utf-8"))
    (target / "tokenizer_config.json").write_text(json.dumps({**found, **changes}))
    return target


def test_a_directory_without_a_template_gets_the_one_of_its_family(hub_dir: Path, tmp_path: Path) -> None:
    bare = ChatTokenizer(copy(hub_dir, tmp_path, chat_template=None))
    assert bare.decode(bare.encode(Prompt(TURNS[3:]))) == "user\nbye\nassistant\n"


def test_a_template_runs_in_a_sandbox_and_its_refusal_is_told(hub_dir: Path, tmp_path: Path) -> None:
    refusing = ChatTokenizer(copy(hub_dir, tmp_path, chat_template="{{ raise_exception('no system') }}"))
    with pytest.raises(EngineError, match="refuses this conversation: no system"):
        refusing.encode(Prompt(TURNS))
    escaping = ChatTokenizer(copy(hub_dir, tmp_path, chat_template="{{ messages.__class__.__mro__[1] }}"))
    with pytest.raises(EngineError, match="unsafe"):
        escaping.encode(Prompt(TURNS))

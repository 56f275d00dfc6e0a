"""What clients of other servers send as a matter of course is served, and means what it means there."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from running_site import Site, open_site

from bot.engine import Engine, Message
from bot.roles import Role
from bot.web import completion_request

ASK: Any = [{"role": "user", "content": "one two three"}]


@pytest.fixture
async def real(tmp_path: Path, engine: Engine, roles: dict[str, Role]) -> AsyncIterator[openai.AsyncOpenAI]:
    """The official client of a site over the real model."""
    async with (
        open_site(tmp_path, engine, roles) as site,
        openai.AsyncOpenAI(base_url=f"{site.url}/v1", api_key="none", max_retries=0) as opened,
    ):
        yield opened


@pytest.mark.parametrize(
    "extra",
    [
        {"reasoning_effort": "low", "chat_template_kwargs": {"enable_thinking": True}},
        {"logprobs": False, "top_logprobs": 0, "n": 1.0, "response_format": {"type": "text"}},
        {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "auto"},
        {"temprature": 1, "keep_alive": "5m"},
    ],
)
async def test_what_asks_for_nothing_or_is_not_known_is_served(site: Site, extra: dict[str, Any]) -> None:
    status, found, _ = await site.post("/v1/chat/completions", {"messages": ASK, **extra})
    assert status == 200
    assert found["choices"][0]["message"]["content"] == "You said one two three"


async def test_an_ignored_field_is_named_once_and_not_without_end(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completion_request, "_noted", set())
    caplog.set_level(logging.INFO, "bot.web.completion_request")
    for _ in range(2):
        await site.post("/v1/chat/completions", {"messages": ASK, "mirostat": 2, "x\n" + "y" * 900: 1})
    named = [record.getMessage() for record in caplog.records]
    assert sorted("mirostat" in line for line in named) == [False, True]
    assert all(len(line) < 150 and "\n" not in line for line in named)
    await site.post("/v1/chat/completions", {"messages": ASK, **{f"field{n}": n for n in range(500)}})
    assert len(caplog.records) == completion_request.MAX_NOTED


@pytest.mark.parametrize(
    ("fields", "limit", "top_k"),
    [
        ({"max_tokens": -1, "top_k": -1}, 2042, 0),
        ({"max_completion_tokens": -1.0, "top_k": 0}, 2042, 0),
        ({"max_tokens": None, "top_k": None}, 2042, None),
        ({"max_tokens": 7.0, "top_k": 3.0}, 7, 3),
    ],
)
async def test_minus_one_is_no_limit_and_a_whole_number_may_have_a_point(
    site: Site, fields: dict[str, Any], limit: int, top_k: int | None
) -> None:
    status, _, _ = await site.post("/v1/chat/completions", {"messages": ASK, **fields})
    sampling = site.engine.samplings[-1]
    assert (status, sampling.max_tokens, sampling.top_k) == (200, limit, top_k)


async def test_an_assistants_turn_without_words_is_empty(site: Site) -> None:
    messages = [ASK[0], {"role": "assistant", "content": None}, {"role": "user", "content": "go on"}]
    status, _, _ = await site.post("/v1/chat/completions", {"messages": messages})
    assert status == 200
    assert site.engine.prompts[-1].messages[1] == Message("assistant", "")


@pytest.mark.parametrize("named", [{}, {"model": None}, {"model": ""}, {"model": "gpt-4o-mini"}])
async def test_whatever_model_is_named_the_one_model_answers(site: Site, named: dict[str, Any]) -> None:
    status, found, _ = await site.post("/v1/chat/completions", {"messages": ASK, **named})
    assert (status, found["model"]) == (200, "scripted")


async def test_penalties_and_biases_reach_the_engine(site: Site) -> None:
    asked = {
        "presence_penalty": 0.5,
        "frequency_penalty": -1,
        "min_p": 0.1,
        "logit_bias": {"5": -100, "9": 0},
    }
    await site.post("/v1/chat/completions", {"messages": ASK, **asked})
    sampling = site.engine.samplings[-1]
    assert (sampling.presence_penalty, sampling.frequency_penalty, sampling.min_p) == (0.5, -1, 0.1)
    assert sampling.logit_bias == ((5, -100),)


async def test_a_prompt_beyond_the_window_is_told_as_openai_does(site: Site) -> None:
    status, found, _ = await site.post(
        "/v1/chat/completions", {"messages": [{"role": "user", "content": "word " * 3000}]}
    )
    assert (status, found["error"]["code"]) == (400, "context_length_exceeded")
    assert found["error"]["type"] == "invalid_request_error"
    assert found["error"]["message"].startswith(
        "This model's maximum context length is 2048 tokens. However, your messages resulted in 3003 tokens."
    )


@pytest.mark.model
async def test_the_real_model_honours_penalties_and_biases_greedily(
    real: openai.AsyncOpenAI, engine: Engine
) -> None:
    async def answer(**how: Any) -> str:
        asked: Any = [{"role": "user", "content": "Write the word cat again and again."}]
        ask: Any = {"model": "any", "messages": asked, "temperature": 0, "max_tokens": 24, **how}
        whole = await real.chat.completions.create(**ask)
        stream = await real.chat.completions.create(**ask, stream=True)
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
        text = whole.choices[0].message.content or ""
        assert "".join(pieces) == text
        return text

    plain = await answer()
    assert await answer(frequency_penalty=0.0, logit_bias={}) == plain
    assert await answer(frequency_penalty=2.0, presence_penalty=2.0) != plain
    local: Any = engine
    first = local.tokenizer.encode_text(plain)[0]
    assert not (await answer(logit_bias={str(first): -100})).startswith(local.tokenizer.decode([first]))
    forced = local.tokenizer.encode_text(" dog")[0]
    assert await answer(logit_bias={str(forced): 100}, max_tokens=3) == " dog dog dog"


@pytest.mark.model
async def test_tokens_and_not_characters_bound_what_the_real_model_reads(real: openai.AsyncOpenAI) -> None:
    for text in ("-" * 30_000, " " * 25_000 + "hello"):
        found = await real.chat.completions.create(
            model="any", messages=[{"role": "user", "content": text}], max_tokens=1
        )
        assert found.usage is not None
        assert found.usage.prompt_tokens < 4096
    with pytest.raises(openai.BadRequestError) as raised:
        await real.chat.completions.create(
            model="any", messages=[{"role": "user", "content": "今天天气好。" * 9000}]
        )
    assert raised.value.code == "context_length_exceeded"

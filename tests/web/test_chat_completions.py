"""/v1 keeps OpenAI's shapes: the official client reads them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from running_site import ScriptedEngine, Site, open_site

from bot.engine import Engine, EngineBusy, Message, PromptTooLong
from bot.roles import Role

TOKEN = "a-token-that-is-long-enough"
ASK: Any = [{"role": "user", "content": "one two three"}]


@pytest.fixture
async def client(site: Site) -> AsyncIterator[openai.AsyncOpenAI]:
    """The official client, pointed at the site and nothing else changed."""
    async with openai.AsyncOpenAI(base_url=f"{site.url}/v1", api_key="none", max_retries=0) as opened:
        yield opened


async def test_the_models_are_listed_and_found_by_name(client: openai.AsyncOpenAI) -> None:
    found = await client.models.list()
    assert [model.id for model in found.data] == ["scripted"]
    assert (await client.models.retrieve("scripted")).object == "model"
    with pytest.raises(openai.NotFoundError, match="there is no model 'gpt-9'"):
        await client.models.retrieve("gpt-9")


async def test_a_completion_has_text_reason_and_counts(client: openai.AsyncOpenAI) -> None:
    found = await client.chat.completions.create(model="scripted", messages=ASK)
    assert found.choices[0].message.content == "You said one two three"
    assert found.choices[0].message.role == "assistant"
    assert found.choices[0].finish_reason == "stop"
    assert found.usage is not None
    assert (found.usage.prompt_tokens, found.usage.completion_tokens, found.usage.total_tokens) == (6, 5, 11)
    assert found.model == "scripted"


async def test_a_stream_says_the_same_and_ends_with_the_counts(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="scripted", messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert deltas[0].role == "assistant"
    assert "".join(delta.content or "" for delta in deltas) == "You said one two three"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 5
    assert len({chunk.id for chunk in chunks}) == 1


async def test_what_is_asked_of_sampling_reaches_the_engine(site: Site, client: openai.AsyncOpenAI) -> None:
    found = await client.chat.completions.create(
        model="scripted",
        messages=ASK,
        max_tokens=2,
        temperature=0.3,
        top_p=0.9,
        seed=7,
        stop=["\n", "END"],
        extra_body={"top_k": 5, "repetition_penalty": 1.2},
    )
    assert found.choices[0].finish_reason == "length"
    assert found.choices[0].message.content == "You said"
    sampling = site.engine.samplings[-1]
    assert (sampling.max_tokens, sampling.temperature, sampling.top_p, sampling.seed) == (2, 0.3, 0.9, 7)
    assert (sampling.stop, sampling.top_k, sampling.repetition_penalty) == (("\n", "END"), 5, 1.2)


async def test_conversations_arrive_as_they_were_sent(site: Site, client: openai.AsyncOpenAI) -> None:
    await client.chat.completions.create(
        model="scripted",
        messages=[
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": "c"},
            {"role": "user", "content": "d"},
            {"role": "assistant", "content": "Well,"},
        ],
    )
    prompt = site.engine.prompts[-1]
    expected = [("system", "be brief"), ("user", "ab"), ("assistant", "c"), ("user", "d")]
    assert prompt.messages == tuple(Message(speaker, text) for speaker, text in expected)  # type: ignore[arg-type]  # each is a Speaker
    assert prompt.opening == "Well,"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"messages": []}, "at least one message"),
        ({"messages": [{"role": "wizard", "content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 4}]}, "must be text, not a number"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "part of type text"),
        ({"messages": [{"role": "user", "content": "a\x00"}]}, "null character"),
        ({"temperature": 3}, "`temperature` must be a number from 0 to 2"),
        ({"temperature": True}, "`temperature` must be a number"),
        ({"max_tokens": 0}, "`max_tokens` must be a whole number from 1"),
        ({"max_tokens": 1, "max_completion_tokens": 2}, "give either"),
        ({"seed": 1.5}, "`seed` must be a whole number"),
        ({"stop": ["a"] * 5}, "at most 4"),
        ({"stop": ""}, "must not be empty"),
        ({"n": 2}, "send the request again"),
        ({"n": True}, "`n`: one answer"),
        ({"best_of": 3}, "`best_of`: one answer"),
        ({"tools": [], "tool_choice": "required"}, 'send "auto"'),
        ({"function_call": {"name": "look_up"}}, "ask for JSON in the prompt"),
        ({"logprobs": True}, "/api/infer tells"),
        ({"logprobs": False, "top_logprobs": 1}, "`top_logprobs`: no log-probabilities"),
        ({"response_format": {"type": "json_object"}}, "ask for JSON in the prompt"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "`response_format`: the form"),
        ({"guided_choice": ["yes", "no"]}, "choose among a role's labels"),
        ({"modalities": ["text", "audio"]}, "this model writes text"),
        ({"messages": [{"role": "user"}]}, "`messages[0].content` is missing"),
        ({"messages": [{"role": "user", "content": None}]}, "must be text, not null"),
        ({"max_tokens": -2}, "or -1 for no limit"),
        ({"top_k": -2}, "or -1 for no limit"),
        ({"max_tokens": 5.5}, "`max_tokens` must be a whole number"),
        ({"presence_penalty": 2.1}, "`presence_penalty` must be a number from -2 to 2"),
        ({"frequency_penalty": False}, "`frequency_penalty` must be a number"),
        ({"min_p": 1.5}, "`min_p` must be a number from 0 to 1"),
        ({"logit_bias": [7]}, "`logit_bias` must be an object"),
        ({"logit_bias": {"hello": 1}}, "tokens by their number, not 'hello'"),
        ({"logit_bias": {"7": 101}}, "`logit_bias.7` must be a number from -100 to 100"),
        ({"logit_bias": {str(n): 1 for n in range(1025)}}, "at most 1024 tokens"),
        ({"stream_options": {"include_usage": True}}, "only allowed when `stream` is true"),
        ({"model": 5}, "`model` must be text"),
    ],
)
async def test_what_cannot_be_done_is_refused_by_field(
    site: Site, change: dict[str, object], said: str
) -> None:
    body = {"model": "scripted", "messages": ASK, **change}
    status, found, _ = await site.post("/v1/chat/completions", body)
    assert status == 400
    assert said in found["error"]["message"]
    assert set(found["error"]) == {"message", "type", "param", "code"}
    assert site.engine.prompts == []


async def test_the_client_raises_what_openai_would_have_it_raise(
    site: Site, client: openai.AsyncOpenAI
) -> None:
    async def ask(**more: Any) -> Any:
        return await client.chat.completions.create(model="scripted", messages=ASK, **more)

    with pytest.raises(openai.BadRequestError) as refused:
        await ask(n=2)
    assert refused.value.param == "n"
    site.engine.problem = EngineBusy(3)
    with pytest.raises(openai.InternalServerError) as busy:
        await ask(stream=True)
    assert (busy.value.status_code, busy.value.response.headers["Retry-After"]) == (503, "3")
    for streamed in (False, True):  # one that only the engine finds too long, as a remote server may
        site.engine.problem = PromptTooLong(9000, 2048)
        with pytest.raises(openai.BadRequestError) as long:
            await ask(stream=streamed)
        assert long.value.code == "context_length_exceeded"
    site.engine.problem, site.engine.broken_after = None, 1
    with pytest.raises(openai.APIError, match="could not answer"):
        _ = [chunk async for chunk in await ask(stream=True)]


async def test_a_bot_that_stops_says_so_in_its_streams(tmp_path: Path, roles: dict[str, Role]) -> None:
    async with (
        open_site(tmp_path, ScriptedEngine(gate=asyncio.Event()), roles) as site,
        openai.AsyncOpenAI(base_url=f"{site.url}/v1", api_key="none", max_retries=0) as client,
    ):
        stream = await client.chat.completions.create(model="scripted", messages=ASK, stream=True)
        said: list[str] = []

        async def read() -> None:
            async for chunk in stream:
                if piece := chunk.choices[0].delta.content:
                    said.append(piece)
                    site.context.stopping.set()

        with pytest.raises(openai.APIError, match="the bot is stopping") as told:
            await read()
        assert told.value.code == "stopping"
        assert said == ["You"]
        assert site.engine.closed == 1


async def test_the_clients_key_is_the_api_token(tmp_path: Path, roles: dict[str, Role]) -> None:
    async with open_site(tmp_path, ScriptedEngine(), roles, api_token=TOKEN) as site:
        for key, works in ((TOKEN, True), ("wrong", False)):
            async with openai.AsyncOpenAI(base_url=f"{site.url}/v1", api_key=key, max_retries=0) as client:
                if works:
                    assert (await client.models.list()).data
                else:
                    with pytest.raises(openai.AuthenticationError):
                        await client.models.list()


@pytest.mark.model
async def test_the_real_model_answers_greedily_the_same_twice(
    tmp_path: Path, engine: Engine, roles: dict[str, Role]
) -> None:
    async with (
        open_site(tmp_path, engine, roles) as site,
        openai.AsyncOpenAI(base_url=f"{site.url}/v1", api_key="none") as client,
    ):
        ask: Any = {
            "model": engine.name,
            "messages": [{"role": "user", "content": "Say only the word: hello"}],
            "max_tokens": 6,
            "temperature": 0,
        }
        whole = await client.chat.completions.create(**ask)
        stream = await client.chat.completions.create(**ask, stream=True)
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
    text = whole.choices[0].message.content
    assert text
    assert "".join(pieces) == text
    assert whole.usage is not None
    assert 1 <= whole.usage.completion_tokens <= 6

"""Why an answer ended is what the engine knows, and no guess by the length of its text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from openai_server import Server, serving
from running_site import open_site

from bot.engine import Engine
from bot.engine.local import LocalEngine
from bot.engine.remote import RemoteEngine
from bot.roles import Role

ASK: Any = [{"role": "user", "content": "Draw something."}]


@asynccontextmanager
async def client_of(
    engine: Engine, directory: Path, roles: dict[str, Role]
) -> AsyncIterator[openai.AsyncOpenAI]:
    """The official client of a site over `engine`."""
    async with (
        open_site(directory, engine, roles) as site,
        openai.AsyncOpenAI(base_url=f"{site.url}/v1", api_key="none", max_retries=0) as opened,
    ):
        yield opened


async def ended(client: openai.AsyncOpenAI, **how: Any) -> tuple[str, str]:
    """Text and reason of one answer; a stream tells the same."""
    ask: Any = {"model": "any", "messages": ASK, "temperature": 0, **how}
    whole = (await client.chat.completions.create(**ask)).choices[0]
    chunks = [chunk.choices[0] async for chunk in await client.chat.completions.create(**ask, stream=True)]
    text = whole.message.content or ""
    assert "".join(chunk.delta.content or "" for chunk in chunks) == text
    assert [chunk.finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].finish_reason == whole.finish_reason
    return text, whole.finish_reason


@pytest.mark.model
async def test_a_limit_within_a_character_is_length_and_a_stop_at_the_limit_is_stop(
    engine: Engine, roles: dict[str, Role], tmp_path: Path
) -> None:
    assert isinstance(engine, LocalEngine)
    begins_character, *others = engine.tokenizer.encode_text("𓂀")
    assert others, "this model has one token for it: choose another character"
    word = engine.tokenizer.encode_text(" dog")[0]
    async with client_of(engine, tmp_path, roles) as client:
        assert await ended(client, max_tokens=1, logit_bias={begins_character: 100}) == ("", "length")
        always = {word: 100}
        assert await ended(client, max_tokens=3, logit_bias=always) == (" dog dog dog", "length")
        assert await ended(client, max_tokens=3, logit_bias=always, stop=["g dog d"]) == (" do", "stop")
        assert await ended(client, max_tokens=2, logit_bias=always, stop=["dog dog"]) == (" ", "stop")
        not_reached = await ended(client, max_tokens=2, logit_bias=always, stop=["dog cat"])
        assert not_reached == (" dog dog", "length")
        end = min(engine.eos_token_ids)
        assert await ended(client, max_tokens=4, logit_bias={end: 100}) == ("", "stop")


@pytest.mark.parametrize(
    ("words", "reason", "said"),
    [
        (["一二三四五六七八九十"], "stop", "一二三四五六七八九十"),  # a guess at its tokens is over the limit
        (["well"], "length", "well"),  # and here far below it
        (["<think>to be", " or not"], "length", ""),
        (["<think>to be</think>", "so"], "stop", "so"),
    ],
)
async def test_of_another_server_its_own_reason_is_passed_on(
    words: list[str], reason: str, said: str, roles: dict[str, Role], tmp_path: Path
) -> None:
    async with serving(Server(words=words, finish_reason=reason)) as server:
        remote = await asyncio.to_thread(RemoteEngine, server.url)
        async with client_of(remote, tmp_path, roles) as client:
            assert await ended(client, max_tokens=8) == (said, reason)
        await remote.close()

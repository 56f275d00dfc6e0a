"""A stream that waits for its first word says so, and who leaves meanwhile frees their place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from patience import wait_until
from running_site import ScriptedEngine, Site, open_site

from bot.roles import Role

ASK: Any = {"model": "any", "messages": [{"role": "user", "content": "one two three"}], "stream": True}


@pytest.fixture
async def waiting(
    tmp_path: Path, roles: dict[str, Role], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Site]:
    """A site with one place, whose engine does not begin until the test lets it."""
    monkeypatch.setattr("bot.web.responses.COMMENT_SECONDS", 0.05)
    async with open_site(tmp_path, ScriptedEngine(begin=asyncio.Event()), roles, max_queue=1) as site:
        yield site


@pytest.mark.parametrize(
    ("path", "body", "accept"),
    [
        ("/v1/chat/completions", ASK, "*/*"),
        ("/api/infer", {"text": "#CHAT#one two"}, "text/event-stream"),
    ],
)
async def test_comments_come_before_the_first_word_and_words_after_them(
    waiting: Site, path: str, body: dict[str, Any], accept: str
) -> None:
    async with waiting.http.post(waiting.url + path, json=body, headers={"Accept": accept}) as answer:
        assert answer.status == 200
        for _ in range(3):
            assert await answer.content.readline() == b": waiting\n"
            assert await answer.content.readline() == b"\n"
        waiting.engine.begin.set()
        assert b"You" in await answer.content.read()


async def test_the_official_client_reads_over_the_comments(waiting: Site) -> None:
    async with openai.AsyncOpenAI(base_url=f"{waiting.url}/v1", api_key="none", max_retries=0) as client:
        stream = await client.chat.completions.create(**ASK)  # its headers are there before any word
        waiting.engine.begin.set()
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        assert text == "You said one two three"
        waiting.engine.begin.clear()
        waiting.engine.broken_after = 0
        stream = await client.chat.completions.create(**ASK)
        waiting.engine.begin.set()
        with pytest.raises(openai.APIError, match="could not answer"):
            _ = [chunk async for chunk in stream]


async def test_who_leaves_while_waiting_frees_the_place(waiting: Site) -> None:
    async with waiting.http.post(f"{waiting.url}/v1/chat/completions", json=ASK) as answer:
        await answer.content.readline()
    await wait_until(lambda: waiting.engine.closed == 1)
    waiting.engine.begin.set()

    async def served() -> bool:
        return (await waiting.infer("fine", mode="emotion"))[0] == 200

    await wait_until(served)

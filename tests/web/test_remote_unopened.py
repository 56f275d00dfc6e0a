"""A server whose template begins the thought: `…</think>answer` comes without an opening tag."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from openai_server import Server, serving

from bot.engine import Message, Prompt, Sampling
from bot.engine.remote import RemoteEngine

PROMPT = Prompt((Message("user", "so good"),))
LABELS = ["正面", "负面", "中性"]
PLAIN = ["Just", " an", " answer"]
THINKS = ["They greet", " me.\n</th", "ink>\n\nHi", " there"]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A server that tells log-probabilities of whatever token comes first."""
    async with serving(Server(tops={"": {"正": -0.1, "负": -3.0, "中": -4.0}})) as started:
        yield started


@pytest.fixture
async def engine(server: Server) -> AsyncIterator[RemoteEngine]:
    """The engine over it."""
    opened = await asyncio.to_thread(RemoteEngine, server.url)
    yield opened
    await opened.close()


async def pieces(engine: RemoteEngine, prompt: Prompt = PROMPT) -> list[str]:
    """One answer as it comes."""
    return [str(piece) async for piece in engine.stream(prompt, Sampling())]


async def test_a_thought_without_its_tag_is_not_shown_and_the_answer_streams(
    server: Server, engine: RemoteEngine
) -> None:
    for words in (THINKS, THINKS, ["hm</think>Hi", " there"], THINKS):
        server.words = words
        assert await pieces(engine) == ["Hi", " there"]


async def test_of_a_server_without_thoughts_only_the_first_answer_is_held_back(
    server: Server, engine: RemoteEngine
) -> None:
    server.words = PLAIN
    assert await pieces(engine) == ["Just an answer"]
    assert await pieces(engine) == PLAIN


async def test_a_server_that_names_its_thoughts_hides_none(server: Server, engine: RemoteEngine) -> None:
    server.words = ["<think>hm</think>Hi", " there"]
    assert await pieces(engine) == ["Hi", " there"]
    server.words = PLAIN
    assert await pieces(engine) == PLAIN


async def test_an_answer_that_was_begun_teaches_nothing(server: Server, engine: RemoteEngine) -> None:
    server.words = PLAIN
    assert await pieces(engine, Prompt(PROMPT.messages, opening="Well, ")) == PLAIN
    server.words = THINKS
    assert await pieces(engine) == ["Hi", " there"]


async def test_one_answer_without_a_thought_ends_no_habit_and_two_do(
    server: Server, engine: RemoteEngine
) -> None:
    for words, shown in (
        (THINKS, ["Hi", " there"]),
        (PLAIN, ["Just an answer"]),
        (THINKS, ["Hi", " there"]),
        (PLAIN, ["Just an answer"]),
        (PLAIN, ["Just an answer"]),
        (PLAIN, PLAIN),
    ):
        server.words = words
        assert await pieces(engine) == shown


async def test_a_limit_within_a_thought_leaves_no_answer_once_the_habit_is_known(
    server: Server, engine: RemoteEngine
) -> None:
    server.words, server.finish_reason = ["long", " long"], "length"
    assert await pieces(engine) == ["long long"]  # it may be the answer
    server.words, server.finish_reason = THINKS, "stop"
    assert await pieces(engine) == ["Hi", " there"]
    server.words, server.finish_reason = ["long", " long"], "length"
    assert await pieces(engine) == [""]


async def test_a_server_that_hides_its_thoughts_is_asked_for_the_label_itself(
    server: Server, engine: RemoteEngine
) -> None:
    found = await engine.score(PROMPT, LABELS)
    assert max(found) == found[0]  # by its log-probabilities
    server.words = ["负面? No.", "</think>", "\n中性"]
    await pieces(engine)
    found = await engine.score(PROMPT, LABELS)
    assert max(found) == found[2]
    assert "logprobs" not in server.bodies[-1]

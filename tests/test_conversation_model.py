"""Seven turns with the real model hold what was said in the first; threads do not leak into each other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.conversation import Conversations
from bot.engine import Engine, Sampling
from bot.roles import Role
from bot.storage import Storage
from config.settings import Settings

pytestmark = pytest.mark.model

BETWEEN = (
    "What is two plus two?",
    "Name a fruit.",
    "Say hello in French.",
    "What colour is the sky?",
    "Name an animal.",
)


@pytest.fixture
async def conversations(
    tmp_path: Path, engine: Engine, roles: dict[str, Role]
) -> AsyncIterator[Conversations]:
    """Conversations with the starter model, greedy and brief."""
    storage = await Storage.open(f"sqlite+aiosqlite:///{tmp_path}/bot.sqlite3")
    brief = replace(roles["chat"], sampling=Sampling(max_tokens=20, temperature=0, repetition_penalty=1.1))
    yield Conversations(engine, {**roles, "chat": brief}, storage, Settings())
    await storage.close()


async def say(conversations: Conversations, thread: str, text: str) -> str:
    """One question's whole answer."""
    return "".join([piece async for piece in conversations.reply(thread, text)])


async def test_seven_turns_hold_a_reference_made_in_the_first(conversations: Conversations) -> None:
    await say(conversations, "one", "My cat is called Minerva. Please remember her name.")
    for question in BETWEEN:
        await say(conversations, "one", question)
    answer = await say(conversations, "one", "What is my cat called?")
    assert "Minerva" in answer
    # Without that first turn the model cannot know: the test is able to fail.
    assert "Minerva" not in await say(conversations, "two", "What is my cat called?")

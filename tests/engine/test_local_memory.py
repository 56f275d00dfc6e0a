"""What is kept between requests, by its tokens: nobody needs a key, and nothing changes an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from small_model import GREEDY, LEAD, ask, steps, watch, write

from bot.engine import Message, Prompt
from bot.engine.local import LocalEngine

Open = Callable[..., LocalEngine]


def turn(history: list[Message], question: str, session: str | None) -> Prompt:
    """The next question of a conversation."""
    history.append(Message("user", question))
    return Prompt((*LEAD, *history), shared=len(LEAD), session=session)


async def talk(engine: LocalEngine, turns: int, session: str | None) -> tuple[list[str], list[int]]:
    """The answers of a conversation, and how many prompt tokens each turn had to read."""
    history: list[Message] = []
    answers, read = [], []
    for number in range(turns):
        prompt = turn(history, f"第{number}个问题：你好吗？", session)
        passes = watch(engine)
        answers.append(await write(engine, prompt))
        read.append(sum(map(sum, passes)) - len(passes) + 1)
        history.append(Message("assistant", answers[-1]))
    return answers, read


@pytest.mark.parametrize("session", ["thread", None])
async def test_the_eighth_turn_reads_its_own_tokens_and_no_more(
    open_small: Open, session: str | None
) -> None:
    engine = open_small()
    kept, read = await talk(engine, 8, session)
    alone, whole = await talk(open_small(cache_mb=0), 8, session)
    assert kept == alone, "a cache changes the speed and nothing else"
    assert whole[-1] > 5 * read[-1]
    # A random model's text need not become the same tokens again, so its answers may be read once more.
    own = len(engine.tokenizer.encode_text("第7个问题：你好吗？")) + GREEDY.max_tokens * 3 + 12
    assert read[-1] <= own


async def test_forgetting_a_conversation_drops_its_cache(open_small: Open) -> None:
    engine = open_small()
    history: list[Message] = []
    answer = await write(engine, turn(history, "我叫小明。" * 20, "thread"))
    history.append(Message("assistant", answer))
    assert "thread" in engine.prefixes
    await engine.forget("other")
    assert "thread" in engine.prefixes
    await engine.forget("thread")
    assert "thread" not in engine.prefixes
    passes = watch(engine)
    await write(engine, turn(history, "我叫什么？", "thread"))
    assert sum(map(sum, passes)) > 60, "all of it is read again"
    await engine.forget()
    assert "thread" not in engine.prefixes


async def test_what_is_forgotten_while_it_is_answered_is_not_kept(open_small: Open) -> None:
    engine = open_small()
    stream = engine.stream(ask("endless", session="thread"), GREEDY)
    await anext(stream)
    await engine.forget("thread")
    async for _ in stream:
        pass
    assert "thread" not in engine.prefixes


async def test_what_two_conversations_both_said_stays_until_both_are_forgotten(open_small: Open) -> None:
    engine = open_small()
    prompt = ask("我叫小红，我叫什么？", session="a")
    expected = await write(engine, prompt)
    assert await write(engine, replace(prompt, session="b")) == expected
    ids = engine.tokenizer.encode(prompt)
    for session, is_known in (("a", True), ("b", False)):
        await engine.forget(session)
        found = engine.prefixes.match(ids)
        assert found is not None
        assert (found.tokens == ids) is is_known


async def test_a_prompt_that_was_broken_off_is_gone_on_with(open_small: Open) -> None:
    engine = open_small()
    prompt = ask("说" * 1500)
    with steps(engine) as held:
        broken_off = asyncio.ensure_future(write(engine, prompt))
        await held.until(lambda: len(held.passes) > 6)
        broken_off.cancel()
        await asyncio.gather(broken_off, return_exceptions=True)
    again = open_small()
    read = watch(engine)
    assert await write(engine, prompt) == await write(again, prompt)
    assert sum(map(sum, read)) < engine.count(prompt) - 400


async def test_no_budget_keeps_no_conversation_and_answers_the_same(open_small: Open) -> None:
    engine = open_small(cache_mb=0)
    kept, _ = await talk(engine, 3, "thread")
    assert "thread" not in engine.prefixes
    assert kept == (await talk(open_small(), 3, "thread"))[0]


async def test_the_prefix_of_a_role_holds_nothing_that_anybody_said(open_small: Open) -> None:
    engine = open_small()
    for text in ("same secret", "same secret", "same secrets"):
        await write(engine, ask(text))
    shared = engine.prefix(ask("same secret"))
    assert "secret" not in engine.tokenizer.decode(shared)
    await engine.forget()
    found = engine.prefixes.match(engine.tokenizer.encode(ask("same secret")))
    assert found is not None
    assert found.tokens == shared, "only that is left"

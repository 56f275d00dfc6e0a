"""A long text, its reason or a batch keeps nobody waiting: the model serves all others in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE, wait_until
from small_model import LEAD, ask, asked, steps, write

from bot.emotion import EmotionClassifier
from bot.emotion.spans import MAX_READ
from bot.engine import Engine, Sampling
from bot.engine.local import LocalEngine
from bot.roles import Role

Open = Callable[..., LocalEngine]
Work = Callable[[EmotionClassifier], Coroutine[Any, Any, object]]

MOST_PASSES = 12  # until somebody else is served: a turn of each caller, whatever the length of their texts
LONG = "".join(f"第{number}天雨停了，我们沿着河走到了新的车站。" for number in range(MAX_READ // 10))
SHORT = [f"第{number}位客人说今天的面条不错，就是等得久了一点。" for number in range(80)]


async def read(classifier: EmotionClassifier) -> None:
    """A very long text with its reason."""
    await classifier.explain(LONG, await classifier.classify(LONG))


async def explain(classifier: EmotionClassifier) -> None:
    """The reason of a long text, asked for again and again."""
    emotion = await classifier.classify(LONG)
    for _ in range(3):
        await classifier.explain(LONG, emotion)


async def batch(classifier: EmotionClassifier) -> None:
    """Many texts at once."""
    await classifier.classify_many(SHORT)


@pytest.fixture
async def busy(
    open_small: Open, roles: dict[str, Role], small_dir: Path
) -> tuple[LocalEngine, EmotionClassifier]:
    """An engine with a classifier over it; everything that is computed once has been."""
    engine = open_small()
    classifier = EmotionClassifier(engine, roles, small_dir)
    await classifier.classify("热身")
    await write(engine, ask("热身"))
    return engine, classifier


@pytest.mark.parametrize("work", [read, explain, batch])
async def test_others_are_served_before_a_long_work_is_done(
    busy: tuple[LocalEngine, EmotionClassifier], work: Work
) -> None:
    engine, classifier = busy

    async def first_word() -> None:
        stream = engine.stream(ask("你好吗？请说说今天的天气。"), Sampling(temperature=0, max_tokens=40))
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]  # it is a generator

    with steps(engine) as held:
        long = asyncio.ensure_future(work(classifier))
        await held.until(lambda: len(held.passes) > 2)
        for other in (first_word, lambda: classifier.classify("太好吃了")):
            heard = asked(engine, 1)
            served = asyncio.ensure_future(other())
            await wait_until(heard.is_set)
            assert await held.until(served.done) <= MOST_PASSES
            assert not long.done()
            await served
    await asyncio.wait_for(long, PATIENCE)


async def test_two_long_texts_advance_side_by_side(busy: tuple[LocalEngine, EmotionClassifier]) -> None:
    engine, classifier = busy
    with steps(engine) as held:
        first = asyncio.ensure_future(classifier.classify(LONG[:MAX_READ]))
        await held.until(lambda: len(held.passes) > 1)
        heard = asked(engine, 1)
        second = asyncio.ensure_future(classifier.classify(LONG[:1000]))
        await wait_until(heard.is_set)
        await held.until(second.done)
        assert not first.done(), "five parts and not two"
    await asyncio.wait_for(asyncio.gather(first, second), PATIENCE)


async def test_prompts_of_answers_and_of_scores_share_the_passes(open_small: Open) -> None:
    engine: Engine = open_small()
    assert isinstance(engine, LocalEngine)
    await engine.score(ask("热身"), ["好", "坏"])
    heard = asked(engine, 5)
    with steps(engine) as held:
        scores = [asyncio.ensure_future(engine.score(ask(LONG[at : at + 900]), ["好"])) for at in range(4)]
        await wait_until(lambda: held.passes)
        one = Sampling(temperature=0, max_tokens=1)
        answer = asyncio.ensure_future(write(engine, ask(LONG[:300], lead=LEAD), one))
        await wait_until(heard.is_set)
        await held.until(answer.done)
        assert not any(score.done() for score in scores[1:])
        read = held.passes.copy()
    assert any(len(chunks) == 5 for chunks in read), "the scores' prompts and the answer's, in one pass"
    await asyncio.wait_for(asyncio.gather(answer, *scores), PATIENCE)

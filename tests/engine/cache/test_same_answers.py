"""Whatever was asked before, forgotten or pushed out: an answer is that of an engine that knows nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_model import write_directory

from bot.engine import Message, Prompt, Sampling
from bot.engine.cache import kv_cache
from bot.engine.factory import open_local
from bot.engine.local import LocalEngine

TOKEN = 2 * 2 * 2 * 16 * 4  # bytes of a token's keys and values
LABELS = ["good", "bad"]
LEADS = ("Say hello.", "Say how it feels.")
TEXTS = ("hello", "hello there", "hello there, who are you? " * 8, "hell", "no")
SAMPLING = Sampling(temperature=0, repetition_penalty=1.0, max_tokens=6)
Asked = tuple[str, int, int, int]  # what, role (or none), turns before it, text


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random model's."""
    return write_directory(tmp_path_factory.mktemp("same") / "model")


@pytest.fixture(scope="module")
def engine(directory: Path) -> Iterator[LocalEngine]:
    """The compiled kernels over it, whose rows do not depend on the rows beside them."""
    engine = open_local(directory, precision="int8")
    yield engine
    engine.scheduler.close()


@pytest.fixture(scope="module")
def alone(directory: Path) -> Iterator[Any]:
    """What each request is answered by an engine that knows nothing."""
    engine = open_local(directory, precision="int8", cache_mb=0)

    @cache
    def answer(asked: Asked) -> object:
        engine.prefixes.clear()
        return asyncio.run(ask(engine, asked, None))

    yield answer
    engine.scheduler.close()


async def ask(engine: LocalEngine, asked: Asked, session: str | None) -> object:
    """Scores, or a whole answer."""
    what, role, turns, text = asked
    lead = (Message("system", LEADS[role % len(LEADS)]),)
    said = [Message("user", TEXTS[0]), Message("assistant", "hello")] * turns
    prompt = Prompt(
        (*lead, *said, Message("user", TEXTS[text])), shared=int(role < len(LEADS)), session=session
    )
    if what == "score":
        return tuple(await engine.score(prompt, LABELS))
    return "".join([piece async for piece in engine.stream(prompt, SAMPLING)])


ASKED = st.tuples(
    st.sampled_from(["score", "write"]), st.integers(0, 3), st.integers(0, 2), st.integers(0, len(TEXTS) - 1)
)
SESSIONS = st.sampled_from([None, "a", "b"])
STEPS = st.one_of(
    st.lists(st.tuples(ASKED, SESSIONS), min_size=1, max_size=4),  # asked at once
    st.tuples(st.just("forget"), SESSIONS),
)


@settings(max_examples=40, deadline=None)
@given(
    budget=st.sampled_from([0, 100, 300, 1000, 10**6]),
    segment=st.sampled_from([1, 7, kv_cache.SEGMENT]),
    steps=st.lists(STEPS, max_size=8),
)
def test_an_answer_with_the_cache_is_the_answer_without_it(
    engine: LocalEngine, alone: Any, budget: int, segment: int, steps: list[Any]
) -> None:
    engine.prefixes.clear()
    engine.prefixes._budget = budget * TOKEN

    async def run() -> None:
        for step in steps:
            if isinstance(step, tuple):
                await engine.forget(step[1])
                continue
            found = await asyncio.gather(*(ask(engine, asked, session) for asked, session in step))
            results.extend(zip((asked for asked, _ in step), found, strict=True))

    results: list[tuple[Asked, object]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kv_cache, "SEGMENT", segment)  # wherever keys and values are cut
        asyncio.run(run())
    for asked, found in results:
        assert found == alone(asked)

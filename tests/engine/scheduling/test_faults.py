"""Whatever fails inside: its request is told, the others are answered, and the engine goes on.

The faults are put into the decoder, the one place where a model can fail; all else is real.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from patience import PATIENCE
from small_model import GREEDY, ask, asked, watch, write

from bot.engine import EngineError, Sampling
from bot.engine.config.arrays import Floats
from bot.engine.local import LocalEngine
from bot.engine.model.decoder import Chunk

Open = Callable[..., LocalEngine]
LABELS = ["正面", "负面"]


def has(engine: LocalEngine, text: str) -> Callable[[Chunk], bool]:
    """Whether a chunk belongs to the prompt with `text`, a text of tokens that no other has."""
    wanted = set(engine.tokenizer.encode_text(text))
    return lambda chunk: bool(wanted & {*chunk.tokens, *chunk.cache.tokens})


@pytest.mark.parametrize(
    "problem",
    [
        pytest.param(MemoryError(), id="Python's own"),
        pytest.param(OSError(errno.ENOMEM, "Cannot allocate memory"), id="the system's, of a KV cache"),
        pytest.param(RuntimeError("DefaultCPUAllocator: can't allocate memory"), id="torch's"),
    ],
)
async def test_memory_that_runs_out_fails_one_request_and_no_other(
    open_small: Open, problem: Exception
) -> None:
    engine = open_small()
    expected = await write(engine, ask("good"))
    scores = await engine.score(ask("good"), LABELS)
    bad = has(engine, "鳄鱼")

    def fail(chunks: Sequence[Chunk]) -> None:
        if any(bad(chunk) for chunk in chunks):
            raise problem

    watch(engine, fail)
    found = await asyncio.wait_for(
        asyncio.gather(
            write(engine, ask("good")),
            write(engine, ask("鳄鱼")),
            engine.score(ask("鳄鱼"), LABELS),
            engine.score(ask("good"), LABELS),
            return_exceptions=True,
        ),
        PATIENCE,
    )
    assert found[0] == expected
    assert found[3] == pytest.approx(scores, abs=1e-4)
    for told in (found[1], found[2]):
        assert isinstance(told, EngineError)
        assert "memory ran out" in str(told)


async def test_a_pass_that_fails_once_costs_nobody_the_answer(open_small: Open) -> None:
    engine = open_small()
    expected = await write(engine, ask("good"))
    faults = iter([MemoryError(), None, MemoryError()])

    def fail(_: Sequence[Chunk]) -> None:
        if problem := next(faults, None):
            raise problem

    passes = watch(engine, fail)
    assert await asyncio.wait_for(write(engine, ask("good")), PATIENCE) == expected
    assert next(faults, "used") == "used"
    assert passes


async def test_a_nan_fails_its_request_and_spoils_nothing_that_is_kept(open_small: Open) -> None:
    engine = open_small()
    good = [await write(engine, ask("good", session="s"))]
    bad = has(engine, "鳄鱼")
    forward = engine.decoder.forward

    def poisoned(chunks: Sequence[Chunk], *arguments: Any, **options: Any) -> Floats:
        hidden = forward(chunks, *arguments, **options)
        if any(bad(chunk) for chunk in chunks):
            for at, chunk in enumerate(chunks):
                if bad(chunk):
                    hidden[-len(chunks) + at :][:1] = np.nan
        return hidden

    engine.decoder.forward = poisoned  # type: ignore[method-assign]  # the fault
    found = await asyncio.wait_for(
        asyncio.gather(
            write(engine, ask("good")),
            write(engine, ask("鳄鱼", session="s")),
            engine.score(ask("鳄鱼"), LABELS),
            return_exceptions=True,
        ),
        PATIENCE,
    )
    assert found[0] == good[0]
    for problem in found[1:]:
        assert isinstance(problem, EngineError)
        assert "NaN or infinity" in str(problem)
    assert "s" not in engine.prefixes
    assert await write(engine, ask("good", session="s")) == good[0]


async def test_texts_beside_one_whose_numbers_are_none_are_scored_all_the_same(open_small: Open) -> None:
    engine = open_small()
    expected = [await engine.score(ask(text), LABELS) for text in ("good", "fine")]
    bad, forward, passes = has(engine, "鳄鱼"), engine.decoder.forward, []

    def poisoned(chunks: Sequence[Chunk], *arguments: Any, **options: Any) -> Floats:
        hidden = forward(chunks, *arguments, **options)
        passes.append(any(bad(chunk) for chunk in chunks))
        if passes[-1]:  # a branch's NaN comes to all branches that its KV cache has
            hidden[:] = np.nan
        return hidden

    engine.decoder.forward = poisoned  # type: ignore[method-assign]  # the fault
    found = await asyncio.wait_for(
        asyncio.gather(
            *(engine.score(ask(text), LABELS) for text in ("good", "鳄鱼", "fine")), return_exceptions=True
        ),
        PATIENCE,
    )
    assert passes[0], "the three were not read together"
    assert found[0] == pytest.approx(expected[0], abs=1e-4)
    assert found[2] == pytest.approx(expected[1], abs=1e-4)
    assert "NaN or infinity" in str(found[1])


async def test_logits_that_are_no_numbers_are_noticed_too(open_small: Open) -> None:
    engine = open_small()
    logits = engine.decoder.logits

    def poisoned(*arguments: Any, **options: Any) -> Floats:
        found = logits(*arguments, **options)
        found[:, -1] = np.nan
        return found

    engine.decoder.logits = poisoned  # type: ignore[method-assign]  # the fault
    with pytest.raises(EngineError, match="NaN or infinity"):
        await asyncio.wait_for(write(engine, ask("good")), PATIENCE)
    with pytest.raises(EngineError, match="NaN or infinity"):
        await asyncio.wait_for(engine.score(ask("good"), LABELS), PATIENCE)


async def test_a_prefix_that_cannot_be_read_refuses_all_that_wait_for_it(open_small: Open) -> None:
    engine = open_small()
    broken = [True]

    def fail(_: Sequence[Chunk]) -> None:
        if broken[0]:
            raise ValueError("damaged weights")

    watch(engine, fail)
    found = await asyncio.wait_for(
        asyncio.gather(
            write(engine, ask("one")),
            write(engine, ask("two")),
            engine.score(ask("three"), LABELS),
            return_exceptions=True,
        ),
        PATIENCE,
    )
    for problem in found:
        assert isinstance(problem, EngineError)
        assert "damaged weights" in str(problem)
    broken[0] = False
    assert await asyncio.wait_for(write(engine, ask("one")), PATIENCE)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_worker_that_dies_is_told_and_replaced(open_small: Open) -> None:
    engine = open_small()
    expected = await write(engine, ask("good"))
    deaths = iter([SystemExit()])
    people = 10
    all_asked = asked(engine, people + 1)

    def die(_: Sequence[Chunk]) -> None:
        if problem := next(deaths, None):
            assert all_asked.wait(PATIENCE)  # who asks after the death has the next worker's answer
            raise problem

    watch(engine, die)
    tasks = [asyncio.ensure_future(write(engine, ask("good"))) for _ in range(people)]
    tasks.append(asyncio.ensure_future(engine.score(ask("good"), LABELS)))  # type: ignore[arg-type]  # any result
    for result in await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE):
        assert isinstance(result, EngineError)
        assert "thread ended" in str(result)
    assert await asyncio.wait_for(write(engine, ask("good")), PATIENCE) == expected


async def test_a_fault_of_the_scheduler_itself_fails_the_work_and_not_the_engine(
    open_small: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_small()

    def broken() -> None:
        raise AssertionError("a fault in the plan")

    with monkeypatch.context() as patch:
        patch.setattr(engine.scheduler._work, "admit", broken)
        with pytest.raises(EngineError, match="a fault in the plan"):
            await asyncio.wait_for(write(engine, ask("good")), PATIENCE)
    assert await asyncio.wait_for(write(engine, ask("good"), Sampling(max_tokens=3)), PATIENCE)


async def test_text_that_cannot_be_decoded_fails_its_own_answer(
    open_small: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_small()
    with monkeypatch.context() as patch:

        def broken(_: Any) -> str:
            raise ValueError("no such token")

        patch.setattr(engine.tokenizer, "decode", broken)
        with pytest.raises(EngineError, match="no such token"):
            await asyncio.wait_for(write(engine, ask("good")), PATIENCE)
    assert await asyncio.wait_for(write(engine, ask("good"), GREEDY), PATIENCE)

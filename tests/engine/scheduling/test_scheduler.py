"""Several requests share one model, and none is changed, delayed or forgotten by the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from patience import PATIENCE, wait_until
from small_model import LEAD, ask, asked, steps, watch, write

from bot.engine import EngineBusy, EngineError, Message, Prompt, PromptTooLong, Sampling
from bot.engine.local import LocalEngine
from bot.engine.model.decoder import Chunk
from bot.engine.reference import ReferenceEngine
from bot.engine.scheduling import scheduler
from bot.engine.scheduling.passes import LONG_TOKENS, PREFILL_TOKENS, SCORE_TOKENS, SHARED_TOKENS
from bot.engine.scheduling.scheduler import MAX_STREAMS
from bot.engine.scheduling.workload import fair_shares

Open = Callable[..., LocalEngine]
LABELS = ["正面", "负面", "positive as can be", "not at all positive"]
TEXTS = ["今天太棒了！", "快递又丢了", "a", "What is a list in Python, and how long can it be?", "😄" * 9]
ENDLESS = Sampling(temperature=0, max_tokens=3000, repetition_penalty=1.0)


async def test_greedy_text_is_the_same_alone_in_a_batch_and_in_stock_transformers(
    open_small: Open, small_dir: Path
) -> None:
    engine, reference = open_small(), ReferenceEngine(small_dir)
    alone = [await write(engine, ask(text)) for text in TEXTS]
    together = await asyncio.gather(*(write(engine, ask(text)) for text in TEXTS))
    stock = [await write(reference, ask(text)) for text in TEXTS]
    await reference.close()
    assert len(set(alone)) == len(TEXTS)
    assert alone == together == stock


async def test_scores_are_the_log_probabilities_that_stock_transformers_computes(
    open_small: Open, small_dir: Path
) -> None:
    engine, reference = open_small(), ReferenceEngine(small_dir)
    prompts = [*map(ask, TEXTS), Prompt((Message("user", "no role at all"),))]
    found = await asyncio.gather(*(engine.score(prompt, LABELS) for prompt in prompts))
    for prompt, scores in zip(prompts, found, strict=True):
        assert scores == pytest.approx(await reference.score(prompt, LABELS), abs=1e-3)
    await reference.close()


async def test_relative_scores_differ_from_the_others_by_one_constant(open_small: Open) -> None:
    engine = open_small()
    exact, compared = await asyncio.gather(
        engine.score(ask("今天太棒了！"), LABELS), engine.score(ask("今天太棒了！"), LABELS, exact=False)
    )
    offsets = [b - a for a, b in zip(exact, compared, strict=True)]
    assert offsets == pytest.approx([offsets[0]] * len(LABELS), abs=1e-3)


async def test_texts_asked_at_once_share_one_pass_and_their_prefix_is_read_once(open_small: Open) -> None:
    engine = open_small()
    await engine.score(ask("first"), LABELS)
    passes = watch(engine)
    await asyncio.gather(*(engine.score(ask(f"text {n}"), LABELS[:2], exact=False) for n in range(8)))
    assert len(passes) == 1
    assert sum(passes[0]) < 8 * (len(engine.tokenizer.encode(ask("text 0"))) - len(LEAD) * 3)


async def test_a_text_longer_than_a_pass_is_scored_like_any_other(open_small: Open, small_dir: Path) -> None:
    engine, reference = open_small(), ReferenceEngine(small_dir)
    passes = watch(engine)
    long = ask("很好。" * SCORE_TOKENS)
    assert await engine.score(long, LABELS) == pytest.approx(await reference.score(long, LABELS), abs=1e-3)
    assert max(map(sum, passes)) <= max(PREFILL_TOKENS, SCORE_TOKENS)
    await reference.close()


def tell_time(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch, seconds: Callable[[list[int]], float]
) -> None:
    """Let the scheduler's clock say that a pass takes what its chunks' lengths tell, on any machine."""
    clock = [0.0]
    monkeypatch.setattr(scheduler.time, "perf_counter", lambda: clock[0])

    def take(chunks: Sequence[Chunk]) -> None:
        clock[0] += seconds([len(chunk.tokens) for chunk in chunks])

    watch(engine, take)


async def test_a_label_does_not_wait_for_long_answers_nor_they_for_labels(
    open_small: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_small()
    tell_time(engine, monkeypatch, lambda _: 1)
    pieces = 0

    async def count() -> None:
        nonlocal pieces
        async for _ in engine.stream(ask("endless"), ENDLESS):
            pieces += 1

    with steps(engine) as held:
        streams = [asyncio.ensure_future(count()) for _ in range(4)]
        await held.until(lambda: pieces)
        before = pieces
        for number in range(30):  # labels without a break: answers must go on all the same
            label = asyncio.ensure_future(engine.score(ask(f"text {number}"), LABELS))
            assert await held.until(label.done) <= 2
            await label
        assert pieces > before
        assert not any(stream.done() for stream in streams)
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)


@pytest.mark.parametrize("seconds", [1, 3])
async def test_labels_that_always_wait_take_turns_with_the_answers(
    open_small: Open, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    engine = open_small()
    tell_time(engine, monkeypatch, lambda lengths: 1 if lengths == [1, 1] else seconds)
    streams = [engine.stream(ask(f"endless {n}"), ENDLESS) for n in range(2)]
    await asyncio.gather(*(anext(stream) for stream in streams))
    heard = asked(engine, 60)
    with steps(engine) as held:
        labels = [asyncio.ensure_future(engine.score(ask(f"text {n}"), LABELS)) for n in range(60)]
        await wait_until(heard.is_set)
        await held.until(lambda: all(label.done() for label in labels))
        kinds = ["answers" if chunks == [1, 1] else "labels" for chunks in held.passes]
        for stream in streams:
            await stream.aclose()  # type: ignore[attr-defined]  # it is a generator
    between = kinds[kinds.index("labels") : len(kinds) - kinds[::-1].index("labels")]
    turn = ["labels"] + ["answers"] * seconds
    assert between == (turn * len(between))[: len(between)], "as long for the ones as for the others"
    assert len(between) > 8


async def test_a_long_prompt_is_read_in_chunks_while_answers_go_on(open_small: Open) -> None:
    engine = open_small()
    running = engine.stream(ask("endless"), ENDLESS)
    await anext(running)
    heard = asked(engine, 1)
    with steps(engine) as held:
        long = asyncio.ensure_future(write(engine, ask("说" * 3500), Sampling(max_tokens=1)))
        await wait_until(heard.is_set)
        await held.until(long.done)
        reading = [chunks for chunks in held.passes if sum(chunks) > 1]
    assert len(reading) >= 3500 // SHARED_TOKENS
    assert all(sum(chunks) <= SHARED_TOKENS + 1 for chunks in reading)
    assert all(chunks[0] == 1 for chunks in reading), "the answer in work is in every pass"
    await running.aclose()  # type: ignore[attr-defined]  # it is a generator


async def test_a_long_text_is_read_in_small_pieces_while_answers_go_on(open_small: Open) -> None:
    engine = open_small()
    running = engine.stream(ask("endless"), ENDLESS)
    await anext(running)
    heard = asked(engine, 1)
    with steps(engine) as held:
        long = asyncio.ensure_future(engine.score(ask("说" * 900), LABELS))
        await wait_until(heard.is_set)
        await held.until(lambda: len(held.passes) > 20)
        assert all(chunks[0] == 1 and sum(chunks) <= 1 + LONG_TOKENS for chunks in held.passes)
        answer = asyncio.ensure_future(write(engine, ask("你好吗？"), Sampling(max_tokens=1)))
        assert await held.until(answer.done) <= 3
        assert not long.done()
        await held.until(long.done)
    await running.aclose()  # type: ignore[attr-defined]  # it is a generator


async def test_a_short_prompt_does_not_wait_until_long_ones_are_read(open_small: Open) -> None:
    engine = open_small()
    await write(engine, ask("热身"))
    long = [asyncio.ensure_future(write(engine, ask(f"{n}" + "说" * 3500))) for n in range(2)]
    with steps(engine) as held:
        await held.until(lambda: held.passes and len(held.passes[-1]) == len(long))
        heard = asked(engine, 1)
        short = asyncio.ensure_future(write(engine, ask("你好吗？"), Sampling(max_tokens=1)))
        await wait_until(heard.is_set)
        assert await held.until(short.done) <= 2
        assert all(len(chunks) == 2 for chunks in held.passes[1:-3]), "the two are read side by side"
        for each in long:
            each.cancel()
        await asyncio.gather(*long, return_exceptions=True)


async def test_of_long_texts_no_more_are_read_at_once_than_of_answers(open_small: Open) -> None:
    engine = open_small()
    await engine.score(ask("热身"), LABELS)
    many = MAX_STREAMS + 2
    heard = asked(engine, many + 1)
    with steps(engine) as held:
        long = [asyncio.ensure_future(engine.score(ask(f"{n}" + "说" * 400), LABELS)) for n in range(many)]
        label = asyncio.ensure_future(engine.score(ask("short"), LABELS))
        await wait_until(heard.is_set)
        assert await held.until(label.done) <= 2, "a short one goes before them"
        await held.until(lambda: all(each.done() for each in long))
        assert max(map(len, held.passes)) == MAX_STREAMS
    assert all([await each for each in long])


async def test_more_label_tokens_than_a_pass_has_are_scored_all_the_same(
    open_small: Open, small_dir: Path
) -> None:
    engine, reference = open_small(), ReferenceEngine(small_dir)
    labels = [f"{number} is how I would put it" for number in range(30)]
    for text in ("a", "很好。" * 30, "很好。" * 60):
        found = await asyncio.wait_for(engine.score(ask(text), labels), PATIENCE)
        assert found == pytest.approx(await reference.score(ask(text), labels), abs=2e-3)
    await reference.close()


@given(wanted=st.lists(st.integers(0, 300), max_size=9), budget=st.integers(0, 300))
def test_shares_are_fair(wanted: list[int], budget: int) -> None:
    shares = fair_shares(wanted, budget)
    assert sum(shares) == min(budget, sum(wanted))
    for share, most in zip(shares, wanted, strict=True):
        assert 0 <= share <= most
        assert share == most or share >= budget // len(wanted)


async def test_cancelling_frees_the_place_at_the_next_step(open_small: Open) -> None:
    engine = open_small()
    running = [engine.stream(ask(f"endless {n}"), ENDLESS) for n in range(MAX_STREAMS)]
    await asyncio.gather(*(anext(stream) for stream in running))
    heard = asked(engine, 1)
    with steps(engine) as held:
        waiting = asyncio.ensure_future(write(engine, ask("next")))
        await wait_until(heard.is_set)
        await held.until(lambda: len(held.passes) > 10)
        assert not waiting.done()
        assert all(len(chunks) == MAX_STREAMS for chunks in held.passes)
        await running[0].aclose()  # type: ignore[attr-defined]  # it is a generator
        await held.until(waiting.done)
        assert await waiting
        for stream in running:
            await stream.aclose()  # type: ignore[attr-defined]  # it is a generator
    await engine.forget("what it waits for comes after the pass in work")
    passes = watch(engine)
    await asyncio.sleep(0.2)
    assert not passes, "nothing is computed for nobody"


async def test_a_full_queue_says_so_at_once(open_small: Open) -> None:
    engine = open_small(max_queue=2)
    heard = asked(engine, MAX_STREAMS + 2)
    with steps(engine) as held:
        tasks = [asyncio.ensure_future(write(engine, ask("endless"), ENDLESS)) for _ in range(MAX_STREAMS)]
        await held.until(lambda: held.passes and len(held.passes[-1]) == MAX_STREAMS)
        tasks += [asyncio.ensure_future(write(engine, ask("endless"), ENDLESS)) for _ in range(2)]
        await wait_until(heard.is_set)
        with pytest.raises(EngineBusy) as busy:
            await write(engine, ask("too many"))
        assert not any(task.done() for task in tasks), "it was told at once, and not when a place came free"
        assert busy.value.retry_after >= 1
        labels = asyncio.ensure_future(engine.score(ask("labels have places of their own"), LABELS))
        await held.until(labels.done)
        assert len(await labels) == len(LABELS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_does_not_fit_is_refused_before_any_computation(open_small: Open) -> None:
    engine = open_small(context_tokens=300)
    passes = watch(engine)
    with pytest.raises(PromptTooLong):
        await write(engine, ask("说" * 400))
    with pytest.raises(PromptTooLong):
        await engine.score(ask("说" * 400), LABELS)
    with pytest.raises(EngineError, match="labels"):
        await engine.score(ask("text"), ["fine", ""])
    assert not passes


async def test_an_answer_ends_where_the_window_ends(open_small: Open) -> None:
    engine = open_small(context_tokens=64)
    prompt = ask("go on")
    passes = watch(engine)
    await write(engine, prompt, ENDLESS)
    assert engine.count(prompt) <= sum(map(sum, passes)) < 64


async def test_closing_fails_what_is_under_way(open_small: Open) -> None:
    engine = open_small()
    heard = asked(engine, 10)
    with steps(engine) as held:
        tasks = [asyncio.ensure_future(write(engine, ask("endless"), ENDLESS)) for _ in range(10)]
        await wait_until(heard.is_set)
        await held.until(lambda: len(held.passes) > 2)
        closing = asyncio.ensure_future(engine.close())
        await asyncio.sleep(0)
    await closing
    for result in await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE):
        assert isinstance(result, EngineError)
    with pytest.raises(EngineError, match="closed"):
        await engine.score(ask("late"), LABELS)

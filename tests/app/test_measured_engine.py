"""The engine's requests are counted and timed, and their answers stay the same."""

from __future__ import annotations

import re

import pytest
from running_site import ScriptedEngine

from bot.app import metrics
from bot.app.measured_engine import MeasuredEngine
from bot.engine import EngineBusy, Message, Prompt, Sampling

PROMPT = Prompt((Message("user", "one two three"),))


def value(name: str) -> float:
    """One sample at /metrics; 0 when it is not there yet."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", metrics.exposition().decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0


async def test_answers_pass_through_and_leave_their_figures() -> None:
    engine = MeasuredEngine(ScriptedEngine())
    tokens = 'bot_tokens_total{kind="completion",surface="engine_stream"}'
    names = (tokens, "bot_tokens_per_second_count", 'bot_first_token_seconds_count{surface="engine_stream"}')
    before = [value(name) for name in names]
    assert "".join([piece async for piece in engine.stream(PROMPT, Sampling())]) == "You said one two three"
    assert [value(name) - was for name, was in zip(names, before, strict=True)] == [5, 1, 1]
    assert await engine.score(PROMPT, ["正面", "负面"]) == [-0.1, -3.0]
    assert (engine.name, engine.context_tokens, engine.count(PROMPT)) == ("scripted", 2048, 6)


async def test_an_answer_closed_early_reaches_the_engine_and_counts_as_cancelled() -> None:
    inner = ScriptedEngine()
    counted = 'bot_requests_total{outcome="cancelled",surface="engine_stream"}'
    before = value(counted)
    stream = MeasuredEngine(inner).stream(PROMPT, Sampling())
    async for _ in stream:
        break
    await stream.aclose()
    assert inner.closed == 1
    assert value(counted) == before + 1


async def test_what_the_engine_refuses_counts_as_refused() -> None:
    engine = MeasuredEngine(ScriptedEngine(problem=EngineBusy(1)))
    names = [
        f'bot_requests_total{{outcome="refused",surface="engine_{kind}"}}' for kind in ("score", "stream")
    ]
    before = [value(name) for name in names]
    with pytest.raises(EngineBusy):
        await engine.score(PROMPT, ["a"])
    with pytest.raises(EngineBusy):
        await anext(engine.stream(PROMPT, Sampling()))
    assert [value(name) - was for name, was in zip(names, before, strict=True)] == [1, 1]


def test_numbers_counted_elsewhere_are_asked_for_at_each_scrape() -> None:
    replaced = iter([3, 4])
    metrics.watch_reconnects(lambda: next(replaced, 9))
    assert value("bot_socket_reconnects_total") == 3
    assert value("bot_socket_reconnects_total") == 4
    metrics.watch_reconnects(lambda: 0)

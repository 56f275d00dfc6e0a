"""The real engine on the real model: the event loop stays free, and answers make sense."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from patience import PATIENCE

from bot.engine import Engine, Sampling
from bot.engine.local import LocalEngine
from bot.roles import Role


async def test_the_event_loop_turns_while_the_model_computes(
    engine: Engine, roles: dict[str, Role], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each pass, and the splitting of a long text, waits for the loop: on the loop's thread it never ends.

    How late the loop comes to what is due is measured by `benchmarks/slack.py`.
    """
    assert isinstance(engine, LocalEngine)
    loop, turns = asyncio.get_running_loop(), 0

    def waiting(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal turns
            turned = threading.Event()
            loop.call_soon_threadsafe(turned.set)
            assert turned.wait(PATIENCE), "the event loop waits for the model"
            turns += 1
            return function(*arguments, **options)

        return call

    monkeypatch.setattr(engine.decoder, "forward", waiting(engine.decoder.forward))

    async def answer(text: str) -> None:
        async for _ in engine.stream(roles["chat"].prompt(text), Sampling(max_tokens=8)):
            pass

    score = engine.score(roles["emotion"].prompt("很好，真的很好！" * 100), ["正面", "负面"], exact=False)
    await asyncio.gather(answer("写一首关于春天的诗"), answer("What is a list?"), score)
    assert turns > 8
    turns = 0
    monkeypatch.setattr(engine.tokenizer, "encode", waiting(engine.tokenizer.encode))
    await answer("很好！" * 800)
    assert turns > 8


async def test_the_same_seed_gives_the_same_answer(engine: Engine, roles: dict[str, Role]) -> None:
    prompt = roles["chat"].prompt("给我的猫起三个名字")

    async def once(seed: int) -> str:
        return "".join([piece async for piece in engine.stream(prompt, Sampling(max_tokens=16, seed=seed))])

    first = await once(1)
    assert first == await once(1)
    assert first


async def test_clear_feelings_are_told_apart(engine: Engine, roles: dict[str, Role]) -> None:
    good, bad = await asyncio.gather(
        *(
            engine.score(roles["emotion"].prompt(text), ["正面", "负面"], exact=False)
            for text in ("今天的实验终于成功了，太棒了！", "快递又丢了，客服还挂我电话")
        )
    )
    assert good[0] > good[1]
    assert bad[0] < bad[1]

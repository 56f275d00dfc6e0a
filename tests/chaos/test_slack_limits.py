"""Slack says "too many", breaks, or does the work and loses the answer: each request has one answer."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest
from bot_processes import BOT, all_answered, answers, one_answer
from running_bot import RunningBot, shown

from bot.sandbox import Fault
from handlers.transport.web_client import RateLimits

WRITING = ("chat.startStream", "chat.appendStream", "chat.stopStream", "chat.update")


BREAKING = {
    "500 after": Fault(times=2, status=500, after=True),
    "cut after": Fault(hang=0.05, after=True),
    "internal_error": Fault(times=2, error="internal_error"),
    "429": Fault(status=429, retry_after=0),
}


@pytest.mark.parametrize("kind", BREAKING)
@pytest.mark.parametrize("method", WRITING)
async def test_one_answer_whatever_breaks(bot: RunningBot, method: str, kind: str) -> None:
    bot.sandbox.faults.answer(method, replace(BREAKING[kind]))
    bot.engine.pause = 0.02
    ts = await bot.sandbox.post("Ada", "general", f"{BOT} a question with some words in it, please")
    await one_answer(bot.sandbox, "general", ts, "You said: a question with some words in it, please")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("status", [500, 503])
async def test_a_classification_is_posted_once(bot: RunningBot, status: int, after: bool) -> None:
    bot.sandbox.faults.answer("chat.postMessage", Fault(times=1, status=status, after=after))
    ts = await bot.sandbox.post("Ada", "general", f"{BOT} #EMOTION# what a day")
    await one_answer(bot.sandbox, "general", ts, "😄 LLM 情感判断：正面")


async def test_a_burst_of_everything(bot: RunningBot) -> None:
    box = bot.sandbox
    box.faults.answer("*", Fault(times=6, status=500))
    box.faults.answer("*", Fault(times=4, status=429, retry_after=0))
    box.faults.answer("*", Fault(times=6, status=500, after=True))
    asked = {}
    for number in range(9):
        text = f"question {number}."
        ts = await box.post(("Ada", "Bo", "小林")[number % 3], "general", f"{BOT} {text}")
        asked[ts] = ("general", text)
    assert await all_answered(box, asked) == {1: 9}


async def test_everybody_waits_for_a_method_that_is_limited(bot: RunningBot) -> None:
    limits = RateLimits()
    limits.exhausted("chat.update", 0.3)
    started = time.monotonic()
    limited = asyncio.ensure_future(limits.wait("chat.update"))
    await limits.wait("chat.postMessage")
    assert not limited.done()
    await limited
    assert time.monotonic() - started >= 0.3
    box = bot.sandbox
    box.faults.answer("chat.postMessage", Fault(status=429, retry_after=1))
    asked = {}
    for number in range(4):
        ts = await box.post(("Ada", "Bo")[number % 2], "general", f"{BOT} #EMOTION# day {number}")
        asked[ts] = ("general", f"day {number}")
    assert await all_answered(box, asked) == {1: 4}
    made = [call.at for call in box.calls if call.method == "chat.postMessage"]
    assert len(made) == 4  # one was refused, and no other tried before its time
    assert not box.faults.methods.get("chat.postMessage")


async def test_slack_out_of_order_for_a_while_ends_in_one_answer(bot: RunningBot) -> None:
    for method in ("chat.startStream", "chat.postMessage", "chat.update", "conversations.replies"):
        bot.sandbox.faults.answer(method, Fault(times=5, status=502))
    ts = await bot.sandbox.post("Ada", "general", f"{BOT} hello")
    await one_answer(bot.sandbox, "general", ts, "You said: hello")


async def test_the_order_in_a_thread_is_kept(bot: RunningBot) -> None:
    box = bot.sandbox
    ts = await box.post("Ada", "general", f"{BOT} number 0")
    await bot.replies("general", ts)
    box.faults.answer("chat.startStream", Fault(times=2, status=429, retry_after=1))
    for number in range(1, 5):
        await box.post("Ada", "general", f"number {number}", ts)
    await box.wait_for(lambda: len(answers(box, "general", ts)) == 5)
    await bot.idle()
    said = [shown(message) for message in answers(box, "general", ts)]
    assert [text.splitlines()[0][-8:] for text in said] == [f"number {n}" for n in range(5)]

"""The process is killed at every stored state; the next one leaves exactly one answer."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace

import pytest
from bot_processes import BOT, Launch, answers, one_answer
from running_bot import actions, is_finished, shown

from bot.sandbox import Fault, Sandbox

MOMENTS = ("received", "answering", "posted", "streaming", "whole", "final")


@pytest.mark.parametrize("moment", MOMENTS)
async def test_one_answer_whenever_it_is_killed(sandbox: Sandbox, launch: Launch, moment: str) -> None:
    first = await launch(kill_at=moment)
    question = "are you there, and will you still be there when the power comes back?"
    ts = await sandbox.post("Ada", "general", f"{BOT} {question}")
    assert await first.died() == -signal.SIGKILL
    await launch()
    await one_answer(sandbox, "general", ts, f"You said: {question}")
    # And the thread goes on with its history.
    await sandbox.post("Ada", "general", "and now?", ts)
    await sandbox.wait_for(lambda: len(answers(sandbox, "general", ts)) == 2)


@pytest.mark.parametrize("moment", ["received", "posted", "final"])
async def test_one_classification_whenever_it_is_killed(
    sandbox: Sandbox, launch: Launch, moment: str
) -> None:
    first = await launch(kill_at=moment)
    ts = await sandbox.post("Ada", "general", f"{BOT} #EMOTION# what a day")
    assert await first.died() == -signal.SIGKILL
    await launch()
    await one_answer(sandbox, "general", ts, "😄 LLM 情感判断：正面")


@pytest.mark.parametrize("moment", ["answering", "final"])
async def test_a_command_is_answered_once(sandbox: Sandbox, launch: Launch, moment: str) -> None:
    first = await launch(kill_at=moment)
    await sandbox.command("Ada", "general", "/emotion", "what a day")
    assert await first.died() == -signal.SIGKILL
    await launch()

    def told() -> list[str]:
        return [m["text"] for m in sandbox.ephemerals("Ada", "general") if "情感判断" in m["text"]]

    await sandbox.wait_for(told)
    await asyncio.sleep(0.5)
    assert len(told()) == 1


async def test_a_chat_command_opens_one_thread(sandbox: Sandbox, launch: Launch) -> None:
    first = await launch(kill_at="final")  # the thread stands and its question is stored; the rest is not
    await sandbox.command("Ada", "general", "/chat", "hello")
    assert await first.died() == -signal.SIGKILL
    await launch()
    (root,) = await sandbox.wait_for(lambda: [m for m in sandbox.messages("general") if m.get("bot_id")])
    await one_answer(sandbox, "general", root["ts"], "You said: hello")
    assert len([m for m in sandbox.messages("general") if m.get("bot_id")]) == 1


async def test_a_polite_stop_finishes_what_is_running(sandbox: Sandbox, launch: Launch) -> None:
    first = await launch(pause=0.2)
    ts = await sandbox.post("Ada", "general", f"{BOT} a question that takes a second or two to answer")
    await sandbox.wait_for(lambda: answers(sandbox, "general", ts))
    assert await first.stop() < 15
    await one_answer(sandbox, "general", ts, "You said: a question")


async def test_what_is_too_long_for_the_stop_is_finished_by_the_next_process(
    sandbox: Sandbox, launch: Launch
) -> None:
    first = await launch(pause=2.0)
    ts = await sandbox.post("Ada", "general", f"{BOT} a question that takes far too long to be answered")
    await sandbox.wait_for(lambda: answers(sandbox, "general", ts))
    assert await first.stop() < 6  # its grace is 4 seconds here, 12 in real life
    assert not any(map(is_finished, answers(sandbox, "general", ts))), "it did not wait for the whole answer"
    await launch()
    await one_answer(sandbox, "general", ts, "You said: a question that takes far too long to be answered")


@pytest.mark.parametrize(("person", "said"), [("Ada", "I am being stopped"), ("小林", "我正要停下")])
@pytest.mark.parametrize("streams", [True, False])
async def test_a_stop_says_under_a_half_written_answer_that_it_goes_on_later(
    sandbox: Sandbox, launch: Launch, person: str, said: str, streams: bool
) -> None:
    if not streams:
        sandbox.faults.answer("chat.startStream", Fault(times=9, error="unknown_method"))
    first = await launch(pause=2.0)
    question = "tell me at great length what is new"
    ts = await sandbox.post(person, "general", f"{BOT} {question}")
    await sandbox.wait_for(lambda: answers(sandbox, "general", ts))
    await first.stop()
    (half,) = answers(sandbox, "general", ts)
    assert said in shown(half)
    assert shown(half).startswith("You")
    assert question not in shown(half)
    assert not actions(half), "nobody is there to whom a button could speak"
    assert half.get("streaming_state") != "in_progress"
    await launch()
    await one_answer(sandbox, "general", ts, f"You said: {question}")
    (whole,) = answers(sandbox, "general", ts)
    assert whole["ts"] == half["ts"]
    assert said not in shown(whole)


@pytest.mark.parametrize("fault", [Fault(times=99, hang=60.0), Fault(times=99, status=429, retry_after=30)])
async def test_a_slack_that_does_not_take_the_last_words_does_not_hold_up_the_stop(
    sandbox: Sandbox, launch: Launch, fault: Fault
) -> None:
    first = await launch(pause=2.0)
    ts = await sandbox.post("Ada", "general", f"{BOT} a question that takes far too long to be answered")
    await sandbox.wait_for(lambda: answers(sandbox, "general", ts))
    for method in ("chat.appendStream", "chat.stopStream", "chat.update"):
        sandbox.faults.answer(method, replace(fault))
    assert await first.stop() < 6  # its grace is 4 seconds here, 12 in real life
    sandbox.faults.methods.clear()
    await launch()
    await one_answer(sandbox, "general", ts, "You said: a question that takes far too long to be answered")


async def test_what_was_said_while_it_was_down_is_answered(sandbox: Sandbox, launch: Launch) -> None:
    first = await launch()
    ts = await sandbox.post("Ada", "general", f"{BOT} hello")
    await one_answer(sandbox, "general", ts, "You said: hello")
    await first.stop()
    sandbox.faults.deaf = True  # Slack gives up delivering
    missed = await sandbox.post("Bo", "general", f"{BOT} anybody?")
    await sandbox.post("Bo", "general", "just talking")
    await sandbox.post("Ada", "general", "still there?", ts)
    await sandbox.wait_for(lambda: len(sandbox.lost) >= 3)
    sandbox.faults.deaf = False
    await launch()
    await one_answer(sandbox, "general", missed, "You said: anybody?")
    await sandbox.wait_for(lambda: len(answers(sandbox, "general", ts)) == 2)
    assert "still there?" in shown(answers(sandbox, "general", ts)[1])

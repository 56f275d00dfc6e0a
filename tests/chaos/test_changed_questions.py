"""A deletion or an edit that was acknowledged is not lost with the process that had acknowledged it."""

from __future__ import annotations

import time

import pytest
from bot_processes import BOT, Launch, answers, one_answer
from patience import wait_until
from running_bot import is_finished, shown

from bot.sandbox import Fault, Sandbox


async def acknowledged(sandbox: Sandbox, ts: str) -> None:
    """Wait until the bot has acknowledged that a person's message was edited or deleted."""

    def done() -> bool:
        return any(
            event.get("subtype") in ("message_changed", "message_deleted")
            and event["previous_message"]["ts"] == ts
            and envelope.answer.done()
            and envelope.answer.exception() is None
            for envelope, _ in sandbox.sockets.delivered
            for event in (envelope.payload["event"],)
        )

    await wait_until(done)


async def begun(sandbox: Sandbox, text: str) -> str:
    """A question whose answer is being written; its ts."""
    ts = await sandbox.post("Ada", "general", f"{BOT} {text}")
    await sandbox.wait_for(lambda: answers(sandbox, "general", ts))
    return ts


@pytest.mark.parametrize("where", ["general", "direct"])
async def test_a_question_deleted_while_it_is_answered_stays_unanswered(
    sandbox: Sandbox, launch: Launch, where: str
) -> None:
    first = await launch(pause=2.0)
    channel = "general" if where == "general" else sandbox.dm("Ada")
    ts = await sandbox.post("Ada", channel, f"{BOT} the code of the door is heron" * 3)
    await sandbox.wait_for(lambda: answers(sandbox, channel, ts))
    # What takes the answer back waits for Slack when the power goes.
    sandbox.faults.answer("conversations.replies", Fault(times=99, hang=60.0))
    await sandbox.delete("Ada", channel, ts)
    await acknowledged(sandbox, ts)
    first.kill()
    await first.died()
    assert answers(sandbox, channel, ts)
    sandbox.faults.methods.clear()
    await launch()
    await sandbox.wait_for(lambda: not answers(sandbox, channel, ts))
    other = await sandbox.post("Bo", "general", f"{BOT} and you?")
    await one_answer(sandbox, "general", other, "You said: and you?")
    assert not answers(sandbox, channel, ts)


async def test_a_question_deleted_in_the_queue_stays_unanswered(sandbox: Sandbox, launch: Launch) -> None:
    first = await launch(pause=2.0)
    ts = await begun(sandbox, "one question that is answered at length")
    waiting = await sandbox.post("Ada", "general", "the code of the door is heron", ts)
    await sandbox.delete("Ada", "general", waiting)
    await acknowledged(sandbox, waiting)
    first.kill()
    await first.died()
    await launch()
    await sandbox.post("Ada", "general", "and the last", ts)
    await sandbox.wait_for(lambda: sum(map(is_finished, answers(sandbox, "general", ts))) == 2)
    said = [shown(m).splitlines()[0] for m in answers(sandbox, "general", ts)]
    assert said == ["You said: one question that is answered at length", "You said: and the last"]


@pytest.mark.parametrize("seconds", [1.0, 3600.0], ids=["soon", "late"])
@pytest.mark.parametrize("waits", [False, True], ids=["while it is answered", "in the queue"])
async def test_a_question_is_answered_as_it_was_edited(
    sandbox: Sandbox, launch: Launch, waits: bool, seconds: float
) -> None:
    first = await launch(pause=2.0)
    root = ts = await begun(sandbox, "what is a heron, and why do people like it so much?")
    if waits:
        ts = await sandbox.post("Ada", "general", "and where does it live?", root)
    sandbox.workspace.clock = lambda: time.time() + seconds
    await sandbox.edit("Ada", "general", ts, f"{BOT} what is a crane?")
    await acknowledged(sandbox, ts)
    sandbox.workspace.clock = time.time
    first.kill()
    await first.died()
    await launch()
    count = 2 if waits else 1
    await sandbox.wait_for(lambda: sum(map(is_finished, answers(sandbox, "general", root))) == count)
    assert shown(answers(sandbox, "general", root)[-1]).startswith("You said: what is a crane?")
    assert len(answers(sandbox, "general", root)) == count

"""500 requests at once: each is answered once or politely refused, fairly, and memory stays bounded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psutil
import pytest
from bot_processes import BOT, all_answered, answers
from patience import PATIENCE
from running_bot import RunningBot, Scripted, run_bot

from bot.inbox import inbox
from bot.roles import Role
from bot.sandbox import Sandbox


@pytest.fixture
async def roomy(
    sandbox: Sandbox, database: str, roles: dict[str, Role], hurried: None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RunningBot]:
    """A bot whose queue holds 1,200 requests."""
    sandbox.faults.ack_seconds = PATIENCE
    async with run_bot(sandbox, database, Scripted(), roles, max_queue=1200) as running:
        yield running


async def test_500_at_once_are_answered_once_each(roomy: RunningBot) -> None:
    box = roomy.sandbox
    people = [box.add_user(f"Person{number}") for number in range(50)]
    before = psutil.Process().memory_info().rss
    asked: dict[str, tuple[str, str]] = {}
    for number in range(500):
        text = f"question {number}."
        tag = "" if number % 5 == 0 else "#EMOTION# "
        ts = await box.post(people[number % 50], "general", f"{BOT} {tag}{text}")
        asked[ts] = ("general", text)
    assert await all_answered(box, asked) == {1: 500}
    assert psutil.Process().memory_info().rss - before < 150e6  # the sandbox's own memory included
    assert roomy.app.slack.inbox.waiting == 0


async def test_a_flood_gets_its_share_and_one_notice(bot: RunningBot) -> None:
    box, gate = bot.sandbox, asyncio.Event()
    bot.engine.gate = gate
    asked = [await box.post("Ada", "general", f"{BOT} flood {number}") for number in range(60)]
    await box.wait_for(lambda: box.ephemerals("Ada", "general"))
    other = await box.post("Bo", "general", f"{BOT} just one")
    job = f"message:{box.team_id}:{box.channels['general']}:{other}"
    await box.wait_for(lambda: bot.app.slack.inbox.job(job) is not None and not box.context.deliveries)
    assert bot.app.slack.inbox.waiting + bot.app.slack.inbox.running == 16 + 1  # a quarter of 64
    gate.set()
    await bot.replies("general", other)
    await bot.idle()
    answered = [ts for ts in asked if answers(box, "general", ts)]
    assert len(answered) == 16
    notices = [m["text"] for m in box.ephemerals("Ada", "general") if "too much to do" in m["text"]]
    assert len(notices) == 1
    assert not [m for m in box.ephemerals("Bo", "general") if "too much" in m["text"]]
    begun = [prompt.messages[-1].content for prompt in bot.engine.prompts]
    assert begun.index("just one") <= inbox.REPLIES  # it did not wait behind the flood


async def test_a_full_queue_refuses_both_deliveries_of_a_mention(bot: RunningBot) -> None:
    box, gate = bot.sandbox, asyncio.Event()
    bot.engine.gate = gate
    asked = [await box.post("Ada", "general", f"{BOT} question {number}") for number in range(17)]
    await box.wait_for(lambda: [m for m in box.ephemerals("Ada", "general") if "too much" in m["text"]])
    gate.set()
    await box.wait_for(lambda: sum(bool(answers(box, "general", ts)) for ts in asked) >= 16)
    await bot.idle()
    (refused,) = [ts for ts in asked if not answers(box, "general", ts)]
    payloads = [e.payload for e, _ in box.sockets.delivered if e.payload["event"].get("ts") == refused]
    assert len(payloads) >= 2
    await asyncio.gather(*(box.sockets.send("events_api", payload, 1, "timeout") for payload in payloads))
    await bot.idle()
    assert answers(box, "general", refused) == []

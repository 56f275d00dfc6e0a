"""The channel is closed, or the bot is, while it writes: it gives up soon, and serves others."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from bot_processes import BOT, answers
from running_bot import RunningBot

from bot.sandbox import Fault, Sandbox

WRITING = ("chat.startStream", "chat.appendStream", "chat.stopStream", "chat.update", "chat.postMessage")

CLOSED: dict[str, Callable[[Sandbox], None]] = {
    "archived": lambda box: box.archive("project"),
    "removed": lambda box: box.remove(box.bot_user_id, "project"),
    "deleted": lambda box: box.delete_channel("project"),
}


async def state(bot: RunningBot, channel: str, ts: str) -> str:
    found = await bot.services.storage.request(f"message:{bot.sandbox.team_id}:{channel}:{ts}")
    assert found is not None
    return found.state


def calls_for(box: Sandbox, channel: str) -> int:
    return sum(call.method in WRITING and call.arguments.get("channel") == channel for call in box.calls)


async def others_are_served(bot: RunningBot) -> None:
    ts = await bot.sandbox.post("Bo", "general", f"{BOT} and here?")
    (reply,) = await bot.replies("general", ts)
    assert "You said: and here?" in str(reply["blocks"])


@pytest.mark.parametrize("how", CLOSED)
async def test_a_channel_closed_while_it_writes_is_given_up(bot: RunningBot, how: str) -> None:
    box = bot.sandbox
    project = box.add_channel("project", ["Ada", box.bot_user_id])
    bot.engine.pause = 0.05
    ts = await box.post("Ada", project, f"{BOT} " + "tell me a long story, please, " * 20)
    await box.wait_for(lambda: answers(box, project, ts))
    CLOSED[how](box)
    await bot.idle()
    assert await state(bot, project, ts) == "failed"
    made = calls_for(box, project)
    bot.engine.pause = 0.0
    await others_are_served(bot)
    assert calls_for(box, project) == made


@pytest.mark.parametrize("how", CLOSED)
@pytest.mark.parametrize("text", ["hello", "#EMOTION# hello"])
async def test_a_channel_closed_before_the_first_word_leaves_streaming_on(
    bot: RunningBot, how: str, text: str
) -> None:
    box = bot.sandbox
    project = box.add_channel("project", ["Ada", box.bot_user_id])
    ts = await box.post("Ada", project, f"{BOT} {text}")
    CLOSED[how](box)
    await box.wait_for(lambda: bot.app.slack.inbox.outcomes["failed"])
    assert await state(bot, project, ts) == "failed"
    assert bot.app.slack.refuses_streams_until == 0.0
    await others_are_served(bot)


@pytest.mark.parametrize("error", ["token_revoked", "account_inactive"])
async def test_a_token_taken_away_while_it_writes_ends_the_request(bot: RunningBot, error: str) -> None:
    box, gone = bot.sandbox, Fault(times=10_000, error=error)
    bot.engine.pause = 0.05
    ts = await box.post("Ada", "general", f"{BOT} " + "tell me a long story, please, " * 20)
    await box.wait_for(lambda: answers(box, "general", ts))
    for method in WRITING:
        box.faults.answer(method, gone)
    await bot.idle()
    assert await state(bot, box.channels["general"], ts) == "failed"
    box.faults.clear()
    bot.engine.pause = 0.0
    await others_are_served(bot)

"""The machine's clock jumps, as one without a battery does: nothing is lost, doubled or called too late."""

from __future__ import annotations

import time

import pytest
from bot_processes import BOT, all_answered
from running_bot import RunningBot

from bot.inbox import inbox

DAY = 86_400.0


@pytest.mark.parametrize("jump", [-2 * DAY, -60.0, 7200.0, 400 * DAY])
async def test_the_clock_jumps_while_it_answers(
    bot: RunningBot, jump: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    box, real, offset = bot.sandbox, time.time, 0.0
    box.workspace.clock = real  # Slack's own clock is right
    monkeypatch.setattr(time, "time", lambda: real() + offset)
    bot.engine.pause = 0.05
    asked: dict[str, tuple[str, str]] = {}
    for number in range(6):
        if number == 3:
            offset = jump
        ts = await box.post(("Ada", "Bo")[number % 2], "general", f"{BOT} question {number}.")
        asked[ts] = ("general", f"You said: question {number}.")
    assert await all_answered(box, asked) == {1: 6}
    box.sockets.drop()
    ts = await box.post("Ada", "general", f"{BOT} after the jump")
    asked[ts] = ("general", "You said: after the jump")
    assert await all_answered(box, asked) == {1: 7}
    assert inbox.NOTICE_SECONDS == 60.0

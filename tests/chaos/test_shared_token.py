"""Another process connects with the same app token: the log says so once, and what it means."""

from __future__ import annotations

import asyncio

import pytest
from patience import wait_until
from running_bot import RunningBot, Scripted, run_bot

from bot.roles import Role
from bot.sandbox import Sandbox


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if "SLACK_APP_TOKEN" in r.getMessage()]


async def test_a_second_process_is_named_once(
    bot: RunningBot, sandbox: Sandbox, roles: dict[str, Role], caplog: pytest.LogCaptureFixture
) -> None:
    assert warnings(caplog) == []
    async with run_bot(sandbox, "sqlite+aiosqlite://", Scripted(), roles) as second:
        (said,) = warnings(caplog)
        assert "counts 2 connections" in said
        assert "hears only a part" in said
        await sandbox.sockets.refresh(close_after=0.1)
        await wait_until(lambda: bot.connection.reconnects and second.connection.reconnects)
    assert len(warnings(caplog)) <= 2  # each process says it once


@pytest.mark.parametrize("how", ["refresh", "drop", "go_half_open"])
async def test_ones_own_earlier_connection_is_nobody_else(
    bot: RunningBot, sandbox: Sandbox, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    for number in range(1, 4):
        if how == "refresh":
            refreshing = asyncio.ensure_future(sandbox.sockets.refresh("warning", close_after=0.5))
        else:
            getattr(sandbox.sockets, how)()
        await wait_until(lambda: bot.connection.reconnects == number)  # noqa: B023  awaited here
        if how == "refresh":
            await refreshing
    assert warnings(caplog) == []

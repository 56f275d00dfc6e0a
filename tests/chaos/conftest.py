"""A fresh workspace for each storm, and a bot that writes without Slack's pauses."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "handlers"))  # the bot is shared

from bot_processes import BotProcess, Launch
from running_bot import RunningBot, Scripted, run_bot

from bot.app import retry
from bot.roles import Role
from bot.sandbox import Sandbox
from handlers.replies import stream_writer
from handlers.transport import socket, watchdog


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A fresh workspace that delivers again soon."""
    started = Sandbox()
    started.faults.retry_delays = (0.1, 1.0, 3.0, 5.0)
    await started.start()
    yield started
    await started.stop()


@pytest.fixture
def database(tmp_path: Path) -> str:
    """A database that outlives its processes."""
    return f"sqlite+aiosqlite:///{tmp_path}/bot.sqlite3"


@pytest.fixture
async def launch(sandbox: Sandbox, database: str) -> AsyncIterator[Launch]:
    """Starts bots in processes of their own: `await launch(kill_at=…, ready=…)`."""
    made: list[BotProcess] = []

    async def start(kill_at: str = "", ready: bool = True, pause: float = 0.02) -> BotProcess:
        process = BotProcess(sandbox, database, KILL_AT=kill_at, ENGINE_PAUSE=str(pause))
        made.append(process)
        await process.start(ready)
        return process

    yield start
    for process in made:
        await process.end()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every period of the watch over the socket, shortened."""
    monkeypatch.setattr(stream_writer, "PERIOD", 0.02)
    monkeypatch.setattr(socket, "PING_SECONDS", 0.4)
    monkeypatch.setattr(socket, "CONNECT_SECONDS", 3.0)
    monkeypatch.setattr(socket, "CLOSE_SECONDS", 0.3)
    for name, value in {"PATIENCE": 2.0, "TICK": 0.1, "QUIET": 1.0, "OVERLAP": 0.5}.items():
        monkeypatch.setattr(watchdog, name, value)
    monkeypatch.setattr(retry, "pause", lambda attempt, longest=30.0: min(0.5, 0.1 * 2.0 ** min(attempt, 8)))


@pytest.fixture
async def bot(
    sandbox: Sandbox, database: str, roles: dict[str, Role], hurried: None
) -> AsyncIterator[RunningBot]:
    """A bot in this process, with a scripted engine."""
    async with run_bot(sandbox, database, Scripted(), roles) as running:
        yield running

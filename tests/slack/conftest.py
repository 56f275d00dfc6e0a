"""A workspace and a bot in it, for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from slack_bench import Bench, Scripted, run_bot

from bot.roles import Role
from bot.sandbox import Sandbox
from handlers import writing


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A fresh workspace."""
    started = Sandbox()
    await started.start()
    yield started
    await started.stop()


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write without Slack's pauses; the test that measures them sets them again."""
    monkeypatch.setattr(writing, "PERIOD", 0.05)


@pytest.fixture
async def bench(sandbox: Sandbox, tmp_path: Path, roles: dict[str, Role]) -> AsyncIterator[Bench]:
    """A bot whose engine says what the test gives it."""
    async with run_bot(sandbox, f"sqlite+aiosqlite:///{tmp_path}/bot.sqlite3", Scripted(), roles) as running:
        yield running

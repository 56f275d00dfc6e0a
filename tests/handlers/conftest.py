"""A workspace and a bot in it, for each test; and a browser to look at it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE
from playwright.async_api import Browser, Page, expect
from running_bot import Look, RunningBot, Scripted, run_bot

from bot.roles import Role
from bot.sandbox import Sandbox
from handlers.replies import stream_writer


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A fresh workspace that waits for acknowledgements longer than Slack, as the machine may be slow."""
    started = Sandbox()
    started.faults.ack_seconds = PATIENCE
    await started.start()
    yield started
    await started.stop()


@pytest.fixture(autouse=True)
def _fast_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write without Slack's pauses; the test that measures them sets them again."""
    monkeypatch.setattr(stream_writer, "PERIOD", 0.05)


@pytest.fixture
async def bot(sandbox: Sandbox, tmp_path: Path, roles: dict[str, Role]) -> AsyncIterator[RunningBot]:
    """A bot whose engine says what the test gives it."""
    async with run_bot(sandbox, f"sqlite+aiosqlite:///{tmp_path}/bot.sqlite3", Scripted(), roles) as running:
        yield running


@pytest.fixture
async def look(browser: Browser, sandbox: Sandbox) -> AsyncIterator[Look]:
    """Opens the workspace's page as a person: `await look("Ada")`. A script error fails the test."""
    contexts, problems = [], []

    async def open_page(user: str = "Ada", **options: Any) -> Page:
        options = {"locale": "en-US", "viewport": {"width": 1280, "height": 800}, **options}
        context = await browser.new_context(**options)
        context.set_default_timeout(PATIENCE * 1000)
        contexts.append(context)
        page = await context.new_page()
        page.on("pageerror", lambda problem: problems.append(str(problem)))
        page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
        await page.goto(f"{sandbox.page_url}?user={user}")
        await expect(page.locator(".link")).to_have_class("link up")  # the app is connected
        return page

    yield open_page
    for context in contexts:
        await context.close()
    assert problems == []

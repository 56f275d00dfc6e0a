"""A site for each test, and a browser that looks at it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio
from patience import PATIENCE
from playwright.async_api import Browser, Page, expect
from running_site import ScriptedEngine, Site, open_site

from bot.engine import Prompt
from bot.roles import Role


@pytest.fixture
async def site(tmp_path: Path, roles: dict[str, Role]) -> AsyncIterator[Site]:
    """The page and API over an engine that says what the test wants."""
    async with open_site(tmp_path, ScriptedEngine(), roles) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, site: Site) -> AsyncIterator[Page]:
    """The page in English; a test in which it reports an error fails."""
    context = await browser.new_context(locale="en-US", viewport={"width": 1280, "height": 800})
    context.set_default_timeout(PATIENCE * 1000)
    opened = await context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda problem: problems.append(str(problem)))
    opened.on(
        "console",
        lambda line: problems.append(line.text) if "Content Security Policy" in line.text else None,
    )
    await opened.goto(site.url)
    await expect(opened.locator("#state")).to_have_text("Ready")
    yield opened
    await context.close()
    assert problems == []


@pytest.fixture
def turn(site: Site, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """While it is not set, the engine scores no text with the word `wait`."""
    score, set_by_the_test = site.engine.score, asyncio.Event()
    set_by_the_test.set()

    async def in_turn(prompt: Prompt, labels: Sequence[str], *, exact: bool = True) -> list[float]:
        if "wait" in prompt.messages[-1].content:
            await set_by_the_test.wait()
        found: list[float] = await score(prompt, labels, exact=exact)
        return found

    monkeypatch.setattr(site.engine, "score", in_turn)
    return set_by_the_test

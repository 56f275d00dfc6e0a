"""The page with everything on it, for people with other eyes and hands: light, dark, small, in Chinese."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from accessibility import LOOKS, REPLY, findings
from patience import PATIENCE
from playwright.async_api import Browser, Page, expect
from running_site import Site

from bot.emotion import EmotionClassifier, Evidence, Explanation
from bot.engine import EngineError
from bot.roles import Label
from config.strings import Strings, language_of_header


async def send(page: Page, box: str, text: str) -> None:
    """Write into a box and press Enter."""
    await page.fill(box, text)
    await page.focus(box)
    await page.keyboard.press("Enter")


@pytest.mark.browser
@pytest.mark.parametrize(("locale", "size", "scheme"), LOOKS)
async def test_axe_finds_nothing_serious(
    browser: Browser,
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    locale: str,
    size: tuple[int, int],
    scheme: Any,
) -> None:
    async def explain(self: EmotionClassifier, text: str, emotion: object, **_: object) -> Explanation:
        evidence = (Evidence("lovely", 2, 8, 0.4), Evidence("but", 14, 17, -0.2))
        return Explanation(evidence, Label("正面", "😄", ("好",)), chinese=False)

    monkeypatch.setattr(EmotionClassifier, "explain", explain)
    strings = Strings(language_of_header(locale))
    context = await browser.new_context(
        locale=locale, viewport={"width": size[0], "height": size[1]}, color_scheme=scheme
    )
    context.set_default_timeout(PATIENCE * 1000)
    page = await context.new_page()
    await page.goto(site.url)
    await expect(page.locator("#state")).to_have_text(strings("page_ready"))
    assert await findings(page) == []

    await send(page, "#emotion-text", "a lovely day, but - long. " * 40)
    await page.get_by_role("button", name=strings("page_feelings")).click()
    await expect(page.locator(".finer")).to_be_visible()
    await page.get_by_role("button", name=strings("page_why")).click()
    await expect(page.locator(".because")).to_be_visible()
    await send(page, "#emotion-text", "great\n- slow\nnice")
    await expect(page.locator(".lines tr")).to_have_count(3)
    site.engine.answers = [REPLY]
    await send(page, "#chat-text", "What is the plan?")
    await expect(page.locator(".said.bot table")).to_be_visible()
    assert await findings(page) == []

    site.engine.problem = EngineError("broken on purpose")
    await send(page, "#emotion-text", "fine")
    await expect(page.locator(".result .wrong")).to_be_visible()
    await send(page, "#chat-text", "And now?")
    await expect(page.locator(".said.bot .wrong")).to_be_visible()
    site.engine.problem, site.engine.gate = None, asyncio.Event()
    await send(page, "#chat-text", "Go on")
    await expect(page.locator(".stream")).to_be_visible()
    assert await findings(page) == []
    await context.close()

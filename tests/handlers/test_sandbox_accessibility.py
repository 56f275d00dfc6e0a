"""The sandbox's page with each surface on it, as people with other eyes and hands meet it."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from accessibility import LOOKS, REPLY, findings
from playwright.async_api import Page, expect
from running_bot import Look, RunningBot

from config.strings import Strings, language_of_header


@pytest.mark.browser
@pytest.mark.parametrize(("locale", "size", "scheme"), LOOKS)
async def test_axe_finds_nothing_serious(
    bot: RunningBot, look: Look, locale: str, size: tuple[int, int], scheme: Any
) -> None:
    strings = Strings(language_of_header(locale))
    viewport = {"width": size[0], "height": size[1]}
    page = await look(
        "小林" if locale == "zh-CN" else "Ada", locale=locale, viewport=viewport, color_scheme=scheme
    )
    composer = page.locator("#main textarea")

    async def write(text: str) -> None:
        await composer.click()
        await page.keyboard.insert_text(text)
        await page.keyboard.press("Enter")
        await expect(composer).to_have_value("")

    await composer.click()
    await page.keyboard.type("/")
    await expect(page.locator(".suggestions [role=option]").first).to_be_visible()
    assert await findings(page) == []
    await composer.fill("")

    await write("/emotion what a lovely day")
    await expect(page.locator("article.ephemeral")).to_contain_text("LLM 情感判断")
    await page.evaluate(
        "window.whole = fetch; void (window.fetch = () => Promise.reject(new TypeError('away')))"
    )
    await composer.fill("is anybody there?")
    await composer.press("Enter")
    await expect(page.locator("#main .problem")).to_be_visible()
    assert await findings(page) == []
    await page.evaluate("void (window.fetch = window.whole)")
    await composer.fill("")

    bot.engine.answers = [REPLY, "The beginning of a long answer"]
    await write("@All-in-One Bot What is the plan?")
    await page.locator(".replies").click()
    thread = page.locator("#thread")
    await expect(thread.locator("pre").first).to_be_visible()
    await bot.idle()
    bot.engine.gate = asyncio.Event()
    await thread.locator("textarea").click()
    await page.keyboard.insert_text("Go on")
    await page.keyboard.press("Enter")
    await expect(thread.locator(".writing")).to_be_visible()
    assert await findings(page) == []
    bot.engine.gate.set()
    await bot.idle()
    await home(page, strings, size[0] < 800)
    assert await findings(page) == []


async def home(page: Page, strings: Strings, narrow: bool) -> None:
    """Open the app's Home tab."""
    if narrow:
        await page.get_by_role("button", name=strings("sandbox_close_thread")).click()
        await page.get_by_role("button", name=strings("sandbox_channels")).click()
    await page.get_by_role("button", name=re.compile(f"^{strings('sandbox_home')}")).click()
    await expect(page.locator(".home select").first).to_be_visible()

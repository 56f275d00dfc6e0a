"""What a long word, a wide table and a long conversation do to the page, on a desk and on a phone."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, Page, expect
from running_site import Site

pytestmark = pytest.mark.browser
LINES = (
    "node => { const r = document.createRange(); r.selectNodeContents(node);"
    " return r.getClientRects().length; }"
)


async def ask(page: Page, text: str) -> None:
    """Send a message by keyboard."""
    await page.fill("#chat-text", text)
    await page.focus("#chat-text")
    await page.keyboard.press("Enter")


@pytest.mark.parametrize("width", [1280, 390])
async def test_a_wide_table_keeps_its_words_whole_and_is_scrolled(
    browser: Browser, site: Site, width: int
) -> None:
    cell = "a sentence of several words " * 6
    site.engine.answers = [f"| short | {cell} | {cell} |\n|---|---|---|\n| one | two | three |"]
    page = await browser.new_page(locale="en-US", viewport={"width": width, "height": 800})
    await page.goto(site.url)
    await ask(page, "a table")
    head = page.locator(".said.bot th").first
    await expect(head).to_have_text("short")
    assert await head.evaluate(LINES) == 1
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    await page.close()


async def test_a_long_conversation_scrolls_in_its_box_and_not_the_page(page: Page) -> None:
    for number in range(12):
        await ask(page, f"say {number}")
        await expect(page.locator(".said.bot").nth(number)).to_contain_text(f"You said say {number}")
    await page.locator("#log").evaluate("log => log.scrollTo(0, 0)")
    assert await page.evaluate("document.documentElement.scrollHeight - innerHeight") == 0

"""What a long word, a wide table and a long conversation do to the page, on a desk and on a phone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, ViewportSize, expect
from running_site import Site

from config.strings import Strings

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


@pytest_asyncio.fixture(loop_scope="session", params=[(1280, 800), (640, 400), (320, 640)], ids=str)
async def sized(request: pytest.FixtureRequest, browser: Browser, site: Site) -> AsyncIterator[Page]:
    """The page on a desk, at 200 % on a small screen, and as narrow as it has to work."""
    width, height = request.param
    opened = await browser.new_page(locale="en-US", viewport=ViewportSize(width=width, height=height))
    await opened.goto(site.url)
    yield opened
    assert await opened.evaluate("document.documentElement.scrollWidth") <= width
    await opened.close()


async def rows(found: Locator) -> list[tuple[float, float]]:
    """Top and bottom of each."""
    boxes = [await each.bounding_box() for each in await found.all()]
    return [(box["y"], box["y"] + box["height"]) for box in boxes if box is not None]


async def judge(page: Page, text: str) -> None:
    """Send a text to judge by keyboard."""
    await page.fill("#emotion-text", text)
    await page.press("#emotion-text", "Enter")


async def test_two_questions_at_once_each_have_their_stop_and_are_read_whole(
    sized: Page, turn: asyncio.Event
) -> None:
    english = Strings("en")
    await judge(sized, "lovely, but wait")
    why = sized.get_by_role("button", name=english("page_why"))
    await sized.route("**/api/infer", lambda route: route.abort())
    await why.click()
    await expect(sized.locator(".result .wrong")).to_have_text(english("page_lost"))
    await sized.unroute("**/api/infer")
    turn.clear()
    await sized.get_by_role("button", name=english("page_feelings")).click()
    stops = sized.locator(".result").get_by_role("button", name=english("page_chat_stop"))
    bars = sized.locator(".asking progress")
    await expect(stops).to_have_count(1)
    again = sized.get_by_role("button", name=english("again"))
    [(_, bottom)], [(again_top, _)] = await rows(stops), await rows(again)
    assert bottom <= again_top
    await again.click()
    await expect(stops).to_have_count(2)
    for (top, bottom), (bar_top, bar_bottom) in zip(await rows(stops), await rows(bars), strict=True):
        assert top <= bar_top
        assert bar_bottom <= bottom
    cut = "(all, list) => all.filter((e) => e.getBoundingClientRect().right > innerWidth).length"
    assert await sized.locator(".result *").evaluate_all(cut) == 0
    turn.set()


async def test_a_judged_line_has_room_for_its_words(sized: Page) -> None:
    line = "we waited for two hours and nobody came"
    await judge(sized, f"great\n{line}\nnice")
    cell = sized.locator(".lines .text").nth(1)
    await expect(cell).to_have_text(line)
    assert await cell.evaluate(LINES) <= 4


async def test_a_reply_has_room_and_what_is_pressed_is_large_enough(sized: Page) -> None:
    await sized.fill("#emotion-text", "one\ntwo")
    box = await sized.locator("#log").bounding_box()
    assert box is not None
    assert box["height"] >= 120
    for target in await sized.locator("button:visible, label.note").all():
        size = await target.bounding_box()
        assert size is not None
        assert min(size["width"], size["height"]) >= 24, await target.text_content()


async def test_what_is_written_from_right_to_left_ends_on_the_left(page: Page, site: Site) -> None:
    text = "שלום עולם!"
    site.engine.answers = [text]
    await judge(page, text)
    await ask(page, text)
    await page.fill("#emotion-text", text)
    ends_left = """node => {
        const words = document.createTreeWalker(node, NodeFilter.SHOW_TEXT), range = document.createRange();
        while (words.nextNode() && !words.currentNode.data.endsWith("!"));
        const at = (index) => {
            range.setStart(words.currentNode, index);
            range.setEnd(words.currentNode, index + 1);
            return range.getBoundingClientRect().left;
        };
        return at(words.currentNode.length - 1) < at(0);
    }"""
    for place in (".result .quote", ".said.you", ".said.bot .rendered:not(.stream) p"):
        await expect(page.locator(place)).to_contain_text(text)
        assert await page.locator(place).evaluate(ends_left), place
    assert await page.evaluate("getComputedStyle(document.querySelector('#emotion-text')).direction") == "rtl"

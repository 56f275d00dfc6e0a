"""The page while something takes long: very long texts, many lines, answers that are stopped or cut off."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Browser, Page, expect
from running_site import Site

from config.strings import Strings, language_of_header

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
async def test_what_was_left_out_of_a_very_long_text_is_said(
    browser: Browser, site: Site, locale: str
) -> None:
    strings = Strings(language_of_header(locale))
    long = "a day like any other. " * 700
    _, found = await site.infer("#EMOTION#" + long.strip())
    assert found["emotion"]["omitted"] > 1000
    said = strings("omitted", count=f"{found['emotion']['omitted']:,}")
    page = await browser.new_page(locale=locale)
    await page.goto(site.url)
    await page.fill("#emotion-text", long)
    await page.focus("#emotion-text")
    await page.keyboard.press("Enter")
    await expect(page.locator(".result .confidence + .omitted")).to_have_text(said)
    await page.get_by_role("button", name=strings("page_feelings")).click()
    await expect(page.locator(".result .finer .omitted")).to_have_text(said)
    await page.fill("#emotion-text", f"fine\n{long}\ngood")
    await page.focus("#emotion-text")
    await page.keyboard.press("Enter")
    await expect(page.locator(".lines tr")).to_have_count(3)
    await expect(page.locator(".lines tr .omitted")).to_have_text([said])
    await expect(page.locator(".lines tr").first).not_to_contain_text(said)
    await page.close()


async def test_many_lines_are_stopped_and_gone_on_with(page: Page, turn: asyncio.Event) -> None:
    english = Strings("en")
    turn.clear()
    await page.fill("#emotion-text", "great\n" * 8 + "- wait\nnice")
    await page.focus("#emotion-text")
    await page.keyboard.press("Enter")
    result = page.locator(".result")
    await expect(result.locator("tr")).to_have_count(8)
    await expect(result).to_have_attribute("aria-busy", "true")
    await result.get_by_role("button", name="Stop").click()
    await expect(result.locator(".line")).to_have_text(english("page_lines_stopped", done=8, count=10))
    await expect(result).not_to_have_attribute("aria-busy", "true")
    turn.set()
    await result.get_by_role("button", name=english("page_lines_continue")).click()
    await expect(result.locator(".line")).to_have_text(english("page_lines_done", count=10))
    await expect(result.locator("tr")).to_have_count(10)
    await expect(result.get_by_role("button")).to_have_count(0)


async def test_why_is_stopped_and_asked_again(page: Page, turn: asyncio.Event) -> None:
    english = Strings("en")
    await page.fill("#emotion-text", "lovely day, - but wait")
    await page.keyboard.press("Enter")
    result = page.locator(".result")
    why = result.get_by_role("button", name=english("page_why"))
    await expect(why).to_be_visible()
    turn.clear()
    await why.click()
    await expect(result.locator(".asking")).to_contain_text(english("page_why_wait"))
    await expect(page.locator("[aria-live=polite] .asking")).to_be_visible()
    bar = result.get_by_role("progressbar", name=english("page_why"))
    assert await bar.evaluate("bar => [bar.position, bar.getAnimations().length]") == [-1, 1]
    await result.get_by_role("button", name="Stop").click()
    await expect(result.locator(".asking")).to_have_count(0)
    await expect(result.locator(".because, .wrong")).to_have_count(0)
    turn.set()
    await why.click()
    await expect(result.locator(".because")).to_be_visible()
    await expect(why).to_have_count(0)


async def test_escape_stops_what_is_asked_here_or_the_newest(page: Page, turn: asyncio.Event) -> None:
    english = Strings("en")
    for text in ("lovely day, but wait", "great\n" * 8 + "wait\nnice"):
        await page.fill("#emotion-text", text)
        await page.press("#emotion-text", "Enter")
        await expect(page.locator(".result .confidence, .lines tr").first).to_be_visible()
        turn.clear()
    older = page.locator(".result").last
    await older.get_by_role("button", name=english("page_why")).press("Enter")
    await expect(older.locator(".asking")).to_be_visible()
    await page.press("#emotion-text", "Escape")
    stopped = english("page_lines_stopped", done=8, count=10)
    await expect(page.locator(".result").first.locator(".line")).to_have_text(stopped)
    await expect(older.locator(".asking")).to_be_visible()
    await older.get_by_role("button", name=english("page_chat_stop")).press("Escape")
    await expect(older.locator(".asking")).to_have_count(0)
    await expect(older.get_by_role("button", name=english("page_why"))).to_be_focused()


async def test_too_many_lines_come_back_into_the_field(page: Page) -> None:
    english = Strings("en")
    many = "\n".join(f"line {number}" for number in range(1001))
    await page.fill("#emotion-text", many)
    await page.get_by_role("button", name=english("page_emotion_send"), exact=True).click()
    await expect(page.locator(".result .wrong")).to_have_text(english("page_failed_too_many_lines"))
    await expect(page.locator(".result").get_by_role("button")).to_have_count(0)
    await expect(page.locator("#emotion-text")).to_have_value(many)
    await expect(page.get_by_label(english("page_each_line", count=1001))).to_be_checked()


async def test_a_link_in_a_reply_that_is_still_written_opens_beside_the_page(page: Page, site: Site) -> None:
    site.engine.answers = [f"[help]({site.url}/healthz) is there\n\nand more"]
    site.engine.gate = asyncio.Event()
    await page.fill("#chat-text", "where?")
    await page.keyboard.press("Enter")
    link = page.locator(".said.bot a")
    async with page.expect_popup() as opened:
        await link.click()
    assert (await opened.value).url == f"{site.url}/healthz"
    assert page.url == f"{site.url}/"
    site.engine.gate.set()
    await expect(page.locator(".said.bot")).to_contain_text("and more")


async def test_a_server_that_ends_while_it_writes_is_told_in_chinese_and_the_text_stays(
    browser: Browser, site: Site
) -> None:
    chinese = Strings("zh")
    site.engine.answers, site.engine.gate = ["从前 有一座山"], asyncio.Event()
    page = await browser.new_page(locale="zh-CN")
    await page.goto(site.url)
    await page.fill("#chat-text", "讲个故事")
    await page.keyboard.press("Enter")
    reply = page.locator(".said.bot")
    await expect(reply).to_contain_text("从前")
    site.context.stopping.set()
    await expect(reply.locator(".wrong")).to_have_text(chinese("page_failed_stopping"))
    await expect(reply.locator(".rendered")).to_have_text("从前")
    await expect(reply.get_by_role("button", name=chinese("again"))).to_be_visible()
    await page.close()

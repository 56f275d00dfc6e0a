"""What a person has written or said is kept: over Stop, Back, a lost connection, a token not given."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect
from running_site import ScriptedEngine, Site, open_site

from bot.roles import Role
from config.strings import Strings, language_of_header

pytestmark = pytest.mark.browser


async def ask(page: Page, text: str) -> None:
    """Send a message by keyboard."""
    await page.fill("#chat-text", text)
    await page.press("#chat-text", "Enter")


async def test_a_conversation_whose_first_reply_is_stopped_goes_on(page: Page, site: Site) -> None:
    site.engine.gate = asyncio.Event()
    await ask(page, "my cat is Tom")
    await expect(page.locator(".said.bot")).to_contain_text("You")
    await page.keyboard.press("Escape")
    await expect(page.locator(".said.bot")).to_contain_text("Stopped.")
    site.engine.gate.set()
    await ask(page, "who is my cat?")
    await expect(page.locator(".said.bot").nth(1)).to_contain_text("You said who is my cat?")
    assert "my cat is Tom" in [message.content for message in site.engine.prompts[-1].messages]


async def test_two_tabs_have_two_conversations_and_one_stops_alone(page: Page, site: Site) -> None:
    other = await page.context.new_page()
    await other.goto(site.url)
    site.engine.gate = asyncio.Event()
    for tab, text in ((page, "here is Olga"), (other, "here is Pedro")):
        await ask(tab, text)
        await expect(tab.locator(".said.bot")).to_contain_text("You")
    await page.keyboard.press("Escape")
    await expect(page.locator(".said.bot")).to_contain_text("Stopped.")
    site.engine.gate.set()
    await expect(other.locator(".said.bot")).to_have_text("Bot: You said here is Pedro")
    await ask(other, "who?")
    await expect(other.locator(".said.bot").nth(1)).to_contain_text("You said who?")
    said = [message.content for message in site.engine.prompts[-1].messages]
    assert "here is Pedro" in said
    assert "here is Olga" not in said


async def test_what_was_typed_is_there_after_back(page: Page, site: Site) -> None:
    await page.fill("#emotion-text", "one\ntwo\nthree")
    await page.fill("#chat-text", "half a quest")
    await page.goto(f"{site.url}/healthz")
    await page.go_back()
    await expect(page.locator("#chat-text")).to_have_value("half a quest")
    await expect(page.locator("#emotion-text")).to_have_value("one\ntwo\nthree")
    await expect(page.get_by_label(Strings("en")("page_each_line", count=3))).to_be_checked()


async def test_a_lost_connection_is_shown_before_the_next_look(page: Page) -> None:
    english = Strings("en")
    await page.clock.install(time=0)
    await page.reload()
    await expect(page.locator("#state")).to_have_text(english("page_ready"))
    await page.clock.pause_at(3_600_000)  # from here the page looks only when it has a reason to
    await page.route("**/*", lambda route: route.abort())
    await ask(page, "are you there?")
    await expect(page.locator(".said.bot .wrong")).to_have_text(english("page_lost"))
    await expect(page.locator("#state")).to_have_text(english("page_offline"))
    await page.unroute("**/*")
    await page.clock.run_for(2000)
    await expect(page.locator("#state")).to_have_text(english("page_ready"))


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
async def test_who_gives_no_token_is_told_so_and_may_try_again(
    browser: Browser, tmp_path: Path, roles: dict[str, Role], locale: str
) -> None:
    token, strings = "a-token-that-is-long-enough", Strings(language_of_header(locale))
    async with open_site(tmp_path, ScriptedEngine(), roles, api_token=token) as site:
        page = await browser.new_page(locale=locale)
        await page.goto(site.url)
        await ask(page, "hello")
        await expect(page.locator("#token-text")).to_be_focused()
        await page.keyboard.press("Escape")
        reply = page.locator(".said.bot")
        await expect(reply.locator(".wrong")).to_have_text(strings("page_failed_unauthorized"))
        await expect(page.locator("#chat-text")).to_be_focused()
        await page.evaluate("sessionStorage.setItem('token', 'the one of yesterday')")
        await reply.get_by_role("button", name=strings("again")).press("Enter")
        await expect(page.locator("#token-wrong")).to_be_visible()
        await page.keyboard.type(token)
        await page.keyboard.press("Enter")
        await expect(reply).to_contain_text("You said hello")
        await page.close()


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
@pytest.mark.parametrize("text", ["\u200b\u2060", "a\x00b"])
async def test_a_text_that_cannot_be_read_is_refused_in_the_pages_language_and_comes_back(
    browser: Browser, site: Site, locale: str, text: str
) -> None:
    strings = Strings(language_of_header(locale))
    page = await browser.new_page(locale=locale)
    await page.goto(site.url)
    await page.fill("#emotion-text", text)
    await page.press("#emotion-text", "Enter")
    await expect(page.locator(".result .wrong")).to_have_text(strings("page_failed_bad_request"))
    assert await page.input_value("#emotion-text") == text
    await page.close()

"""The two-box page, used by mouse and keyboard in a real browser."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect
from web_bench import Site, Spoken, open_site, wait_for

from bot.emotion import Emotions, Evidence, Explanation
from bot.engine import EngineBusy
from bot.roles import Label, Role
from bot.web.page import DIRECTORY
from bot.web.words import WORDS, language_of, words
from config.settings import ROOT

TOKEN = "a-token-that-is-long-enough"
browser_test = pytest.mark.browser


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, site: Site) -> AsyncIterator[Page]:
    """The page in English; a test in which it reports an error fails."""
    context = await browser.new_context(locale="en-US", viewport={"width": 1280, "height": 800})
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


@browser_test
async def test_the_emotion_box_shows_line_confidence_and_on_demand_the_evidence(
    page: Page, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def explain(self: Emotions, text: str, emotion: object, **_: object) -> Explanation:
        at = text.index("太棒了")
        return Explanation((Evidence("太棒了", at, at + 3, 0.4),), "判断为“正面”，因句中“太棒了”。")

    monkeypatch.setattr(Emotions, "explain", explain)
    await page.fill("#emotion-text", "👍🏽 今天<b>真的</b>太棒了！")
    await page.get_by_role("button", name="Judge").click()
    result = page.locator(".result")
    await expect(result.locator(".line")).to_have_text("😄 LLM 情感判断：正面")
    await expect(result.locator(".sure")).to_contain_text(re.compile(r"Confidence \d+%"))
    await expect(result.locator(".quote")).to_have_text("👍🏽 今天<b>真的</b>太棒了！")
    await result.get_by_role("button", name="Why?").click()
    await expect(result.locator("mark")).to_have_text("太棒了")
    await expect(result.locator(".because")).to_have_text("判断为“正面”，因句中“太棒了”。")
    await expect(page.locator("#emotion-text")).to_have_value("")


@browser_test
async def test_enter_judges_and_the_newest_judgement_is_on_top(page: Page) -> None:
    await page.focus("#emotion-text")
    await page.keyboard.type("lovely")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("day")
    await page.keyboard.press("Enter")
    await expect(page.locator(".result .quote")).to_have_text("lovely\nday")
    await page.keyboard.type("- awful")
    await page.keyboard.press("Enter")
    await expect(page.locator(".result .line").first).to_have_text("😞 LLM 情感判断：负面")
    await page.keyboard.press("Enter")  # nothing is in the box
    await expect(page.locator(".result")).to_have_count(2)


@browser_test
async def test_a_reply_streams_can_be_stopped_and_the_thread_goes_on(page: Page, site: Site) -> None:
    site.engine.gate = asyncio.Event()
    await page.fill("#chat-text", "tell me more")
    await page.keyboard.press("Enter")
    await expect(page.locator(".said.bot")).to_contain_text("You")
    await expect(page.locator("#log")).to_have_attribute("aria-busy", "true")
    await page.get_by_role("button", name="Stop").click()
    await expect(page.locator(".said.bot")).to_contain_text("Stopped.")
    await wait_for(lambda: site.engine.closed == 1)
    site.engine.gate.set()
    await page.fill("#chat-text", "my cat is Tom")
    await page.keyboard.press("Enter")
    await expect(page.locator(".said.bot").nth(1)).to_contain_text("You said my cat is Tom")
    await page.fill("#chat-text", "who is my cat?")
    await page.keyboard.press("Enter")
    await expect(page.locator(".said.bot").nth(2)).to_contain_text("You said who is my cat?")
    assert "my cat is Tom" in [m.content for m in site.engine.prompts[-1].messages]
    await page.get_by_role("button", name="New conversation").click()
    await expect(page.locator(".said")).to_have_count(0)
    await page.fill("#chat-text", "and now?")
    await page.keyboard.press("Enter")
    await expect(page.locator(".said.bot")).to_contain_text("You said and now?")
    assert len(site.engine.prompts[-1].messages) == 2


@browser_test
async def test_markdown_is_rendered_and_nothing_in_it_runs(page: Page, site: Site) -> None:
    site.engine.answers = [
        "**bold** and `code`\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n"
        "<img src=x onerror=\"document.title='owned'\"> <script>document.title='owned'</script> "
        "[bad](javascript:document.title='owned') ![spy](http://spy.example/x.png) [good](https://example.com)"
    ]
    await page.fill("#chat-text", "show")
    await page.keyboard.press("Enter")
    reply = page.locator(".said.bot .rendered:not(.stream)")
    await expect(reply.locator("strong")).to_have_text("bold")
    await expect(reply.locator("li")).to_have_count(2)
    await expect(reply.locator("td")).to_have_text(["1", "2"])
    await expect(reply.locator("img, script")).to_have_count(0)
    await expect(reply.locator("a")).to_have_count(1)
    link = reply.locator("a")
    assert "noopener" in (await link.get_attribute("rel") or "")
    assert await page.title() == "All-in-one bot"


@browser_test
async def test_failures_are_told_kindly_and_the_next_try_works(page: Page, site: Site) -> None:
    site.engine.problem = EngineBusy(1)
    await page.fill("#emotion-text", "good")
    await page.keyboard.press("Enter")
    await expect(page.locator(".result .wrong")).to_have_text(WORDS["failed_busy"][0])
    await page.fill("#chat-text", "hi")
    await page.keyboard.press("Enter")
    await expect(page.locator(".said.bot .wrong")).to_have_text(WORDS["failed_busy"][0])
    site.engine.problem = None
    site.engine.broken_after = 2
    await page.fill("#chat-text", "a b c d")
    await page.keyboard.press("Enter")
    await expect(page.locator(".said.bot .wrong").nth(1)).to_have_text(WORDS["failed_engine_failed"][0])
    site.engine.broken_after = None
    await page.fill("#chat-text", "hi")
    await page.keyboard.press("Enter")
    await expect(page.locator(".said.bot").nth(2)).to_contain_text("You said hi")


@browser_test
async def test_the_page_tells_which_part_is_not_ready(page: Page, site: Site) -> None:
    site.parts["slack"] = False
    await page.reload()
    await expect(page.locator("#state")).to_have_text("Not ready: Slack")
    site.parts["slack"] = True
    await expect(page.locator("#state")).to_have_text("Ready")


@browser_test
@pytest.mark.parametrize("there", [True, False])
async def test_a_finer_feeling_is_shown_under_the_line_where_the_role_exists(
    browser: Browser, tmp_path: Path, roles: dict[str, Role], there: bool
) -> None:
    labels = (Label("喜悦", "😊", ("喜悦",)), Label("悲伤", "😢", ("悲伤",)))
    known = {name: role for name, role in roles.items() if name != "feelings"}
    finer = {"feelings": Role("feelings", "Feelings", "Which feeling?", labels=labels)} if there else {}
    async with open_site(tmp_path, Spoken(), known | finer) as site:
        page = await browser.new_page(locale="en-US")
        await page.goto(site.url)
        await page.fill("#emotion-text", "good")
        await page.keyboard.press("Enter")
        await expect(page.locator(".result .line")).to_have_text("😄 LLM 情感判断：正面")
        button = page.get_by_role("button", name=WORDS["finer"][0])
        await expect(button).to_have_count(int(there))
        if there:
            await button.click()
            await expect(page.locator(".result .finer")).to_contain_text("😊 LLM 情感判断：喜悦")
            await expect(button).to_have_count(0)
        await page.close()


@browser_test
async def test_the_token_is_asked_for_once(browser: Browser, tmp_path: Path, roles: dict[str, Role]) -> None:
    async with open_site(tmp_path, Spoken(), roles, api_token=TOKEN) as site:
        page = await browser.new_page(locale="en-US")
        await page.goto(site.url)
        await page.fill("#emotion-text", "good")
        await page.keyboard.press("Enter")
        await page.fill("#token-text", "wrong-but-long-enough")
        await page.keyboard.press("Enter")
        await expect(page.locator("#token-wrong")).to_be_visible()
        await page.fill("#token-text", TOKEN)
        await page.keyboard.press("Enter")
        await expect(page.locator(".result .line")).to_have_text("😄 LLM 情感判断：正面")
        await page.fill("#emotion-text", "fine")
        await page.keyboard.press("Enter")
        await expect(page.locator(".result")).to_have_count(2)
        await expect(page.locator("#token")).not_to_be_visible()
        await page.close()


@browser_test
@pytest.mark.parametrize(
    ("locale", "width", "scheme"), [("zh-CN", 390, "dark"), ("zh-CN", 1280, "light"), ("en-US", 390, "light")]
)
async def test_it_fits_phones_and_speaks_the_browsers_language(
    browser: Browser, site: Site, locale: str, width: int, scheme: Any
) -> None:
    said = words(language_of(locale))
    context = await browser.new_context(
        locale=locale, viewport={"width": width, "height": 820}, color_scheme=scheme
    )
    page = await context.new_page()
    await page.goto(site.url)
    await expect(page.locator("html")).to_have_attribute("lang", said["lang"])
    await expect(page.locator("#state")).to_have_text(said["ready"])
    await page.get_by_role("button", name=said["example_1"]).click()
    await expect(page.locator(".result")).to_have_count(1)
    await page.get_by_role("button", name=said["ask_1"]).click()
    await expect(page.locator(".said.bot")).to_contain_text(said["ask_1"])
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    shots = ROOT / "artifacts"
    shots.mkdir(exist_ok=True)
    await page.screenshot(path=shots / f"page-{locale}-{width}-{scheme}.png", full_page=True)
    await context.close()


def test_every_word_of_the_page_is_translated_and_used() -> None:
    source = "\n".join(file.read_text(encoding="utf-8") for file in DIRECTORY.iterdir())
    for name, texts in WORDS.items():
        assert all(text.strip() for text in texts), name
        marks = [set(re.findall(r"\{\w+\}", text)) for text in texts]
        assert marks[0] == marks[1], name
        used = name.startswith(("part_", "failed_")) or re.search(rf'words\.{name}\b|say\("{name}"', source)
        assert used, name
    for name in re.findall(r'say\("(\w+)"', source):
        assert name in WORDS


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("fr,en;q=0.5,zh;q=0.6", "zh"),
        ("en-GB", "en"),
        ("de", "en"),
        ("", "en"),
        ("zh;q=x, ;;,", "en"),
    ],
)
def test_the_language_is_the_one_the_browser_likes_best(header: str, language: str) -> None:
    assert language_of(header) == language

"""The two-box page, used by mouse and keyboard in a real browser."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from patience import wait_until
from playwright.async_api import Browser, Page, expect
from running_site import ScriptedEngine, Site, open_site

from bot.emotion import EmotionClassifier, Evidence, Explanation
from bot.engine import EngineBusy
from bot.roles import Label, Role
from bot.web.page import page_strings
from config.settings import ROOT
from config.strings import STRINGS_DIRECTORY, Strings, language_of_header

TOKEN = "a-token-that-is-long-enough"
browser_test = pytest.mark.browser


@browser_test
async def test_the_emotion_box_shows_line_confidence_and_on_demand_the_evidence(
    page: Page, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def explain(self: EmotionClassifier, text: str, emotion: object, **_: object) -> Explanation:
        at = text.index("太棒了")
        return Explanation((Evidence("太棒了", at, at + 3, 0.4),), Label("正面", "😄", ("好",)), chinese=True)

    monkeypatch.setattr(EmotionClassifier, "explain", explain)
    await page.fill("#emotion-text", "👍🏽 今天<b>真的</b>太棒了！")
    await page.get_by_role("button", name="Judge").click()
    result = page.locator(".result")
    await expect(result.locator(".line")).to_have_text("😄 LLM 情感判断：正面 positive")
    await expect(result.locator(".confidence")).to_contain_text(re.compile(r"Confidence \d+%"))
    await expect(result.locator(".quote")).to_have_text("👍🏽 今天<b>真的</b>太棒了！")
    await result.get_by_role("button", name="Why?").click()
    await expect(result.locator("mark")).to_have_text("太棒了")
    await expect(result.locator(".because")).to_have_text("判断为“正面”，因句中“太棒了”（0.40）。")
    await expect(page.locator("#emotion-text")).to_have_value("")


@browser_test
async def test_enter_classifies_and_the_newest_result_is_on_top(page: Page) -> None:
    await page.focus("#emotion-text")
    await page.keyboard.type("lovely")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("day")
    await page.keyboard.press("Enter")
    await expect(page.locator(".result .quote")).to_have_text("lovely\nday")
    await page.keyboard.type("- awful")
    await page.keyboard.press("Enter")
    await expect(page.locator(".result .line").first).to_have_text("😞 LLM 情感判断：负面 negative")
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
    await wait_until(lambda: site.engine.closed == 1)
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
    english = Strings("en")
    site.engine.problem = EngineBusy(1)
    await page.fill("#emotion-text", "good")
    await page.keyboard.press("Enter")
    await expect(page.locator(".result .wrong")).to_have_text(english("page_failed_busy"))
    await page.fill("#chat-text", "hi")
    await page.keyboard.press("Enter")
    await expect(page.locator(".said.bot .wrong")).to_have_text(english("page_failed_busy"))
    site.engine.problem = None
    site.engine.broken_after = 2
    await page.fill("#chat-text", "a b c d")
    await page.keyboard.press("Enter")
    await expect(page.locator(".said.bot .wrong").nth(1)).to_have_text(english("page_failed_engine_failed"))
    site.engine.broken_after = None
    await page.fill("#chat-text", "hi")
    await page.keyboard.press("Enter")
    await expect(page.locator(".said.bot").nth(2)).to_contain_text("You said hi")


@browser_test
async def test_a_failed_question_is_asked_again_where_it_stands(page: Page, site: Site) -> None:
    lost = Strings("en")("page_lost")
    await page.route("**/api/infer", lambda route: route.abort())
    await page.fill("#chat-text", "are you there?")
    await page.keyboard.press("Enter")
    await expect(page.locator(".said.bot .wrong")).to_have_text(lost)
    await page.fill("#emotion-text", "lovely")
    await page.keyboard.press("Enter")
    await expect(page.locator(".result .wrong")).to_have_text(lost)
    await page.unroute("**/api/infer")
    await page.locator(".said.bot").get_by_role("button", name="Try again").click()
    await expect(page.locator(".said.bot")).to_contain_text("You said are you there?")
    await expect(page.locator(".said.you")).to_have_count(1)
    await page.locator(".result").get_by_role("button", name="Try again").click()
    await expect(page.locator(".result .line")).to_contain_text("正面")


@browser_test
async def test_a_stop_of_the_bot_is_said_and_the_text_so_far_stays(page: Page, site: Site) -> None:
    site.engine.answers, site.engine.gate = ["Once upon a time"], asyncio.Event()
    await page.fill("#chat-text", "tell")
    await page.keyboard.press("Enter")
    await expect(page.locator(".said.bot")).to_contain_text("Once")
    site.context.stopping.set()
    await expect(page.locator(".said.bot .wrong")).to_have_text(Strings("en")("page_failed_stopping"))
    await expect(page.locator(".said.bot .rendered")).to_have_text("Once")


@browser_test
async def test_several_lines_have_a_row_each_or_one_verdict(page: Page) -> None:
    await page.fill("#emotion-text", "great\n- slow\n\nnice")
    await page.focus("#emotion-text")
    await page.keyboard.press("Enter")
    await expect(page.locator(".lines .label")).to_have_text(
        ["😄 正面 positive", "😞 负面 negative", "😄 正面 positive"]
    )
    await expect(page.locator(".lines .text")).to_have_text(["great", "- slow", "nice"])
    await page.fill("#emotion-text", "great\nslow\nnice")
    await page.get_by_label("Judge each of the 3 lines by itself").uncheck()
    await page.get_by_role("button", name="Judge", exact=True).click()
    await expect(page.locator(".result").first.locator(".quote")).to_have_text("great\nslow\nnice")


@browser_test
async def test_stop_by_keyboard_leaves_the_focus_in_the_box(page: Page, site: Site) -> None:
    site.engine.gate = asyncio.Event()
    await page.fill("#chat-text", "go on")
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="Stop").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator(".said.bot")).to_contain_text("Stopped.")
    await expect(page.locator("#chat-text")).to_be_focused()


@browser_test
async def test_enter_that_ends_a_composed_word_sends_nothing(page: Page) -> None:
    await page.fill("#chat-text", "你好")
    await page.evaluate(
        "document.querySelector('#chat-text').dispatchEvent("
        "new KeyboardEvent('keydown', {key: 'Enter', keyCode: 229, bubbles: true}))"
    )
    await expect(page.locator("#chat-text")).to_have_value("你好")
    await expect(page.locator(".said")).to_have_count(0)


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
    async with open_site(tmp_path, ScriptedEngine(), known | finer) as site:
        page = await browser.new_page(locale="en-US")
        await page.goto(site.url)
        await page.fill("#emotion-text", "good")
        await page.keyboard.press("Enter")
        await expect(page.locator(".result .line").first).to_have_text("😄 LLM 情感判断：正面 positive")
        button = page.get_by_role("button", name=Strings("en")("page_feelings"))
        await expect(button).to_have_count(int(there))
        if there:
            await button.click()
            await expect(page.locator(".result .finer")).to_contain_text(
                re.compile(r"😊 LLM 情感判断：喜悦.*\d+%", re.S)
            )
            await expect(page.locator(".result .finer")).to_be_focused()
            await expect(button).to_have_count(0)
        await page.close()


@browser_test
async def test_the_token_is_asked_for_once(browser: Browser, tmp_path: Path, roles: dict[str, Role]) -> None:
    async with open_site(tmp_path, ScriptedEngine(), roles, api_token=TOKEN) as site:
        page = await browser.new_page(locale="en-US")
        await page.goto(site.url)
        await page.fill("#emotion-text", "good")
        await page.keyboard.press("Enter")
        await page.fill("#token-text", "wrong-but-long-enough")
        await page.keyboard.press("Enter")
        await expect(page.locator("#token-wrong")).to_be_visible()
        await page.fill("#token-text", TOKEN)
        await page.keyboard.press("Enter")
        await expect(page.locator(".result .line").first).to_have_text("😄 LLM 情感判断：正面 positive")
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
    strings = page_strings(Strings(language_of_header(locale)))
    context = await browser.new_context(
        locale=locale, viewport={"width": width, "height": 820}, color_scheme=scheme
    )
    page = await context.new_page()
    await page.goto(site.url)
    await expect(page.locator("html")).to_have_attribute("lang", strings["language_tag"])
    await expect(page.locator("#state")).to_have_text(strings["page_ready"])
    await page.get_by_role("button", name=strings["page_emotion_example_1"]).click()
    await expect(page.locator(".result")).to_have_count(1)
    await page.get_by_role("button", name=strings["page_chat_example_1"]).click()
    await expect(page.locator(".said.bot")).to_contain_text(strings["page_chat_example_1"])
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    shots = ROOT / "artifacts"
    shots.mkdir(exist_ok=True)
    await page.screenshot(path=shots / f"page-{locale}-{width}-{scheme}.png", full_page=True)
    await context.close()


async def test_a_new_language_is_one_file_and_what_it_lacks_is_in_english(
    tmp_path: Path, roles: dict[str, Role]
) -> None:
    copied = tmp_path / "strings"
    shutil.copytree(STRINGS_DIRECTORY, copied)
    (copied / "fr.toml").write_text('page_title = "Le robot"\npage_ready = "Prêt"\n', encoding="utf-8")
    async with open_site(tmp_path, ScriptedEngine(), roles, strings=copied) as site:
        headers = {"Accept-Language": "fr-CA,fr;q=0.9,en;q=0.5"}
        async with site.http.get(site.url, headers=headers) as answer:
            shown = await answer.text()
            assert answer.headers["Content-Language"] == "fr"
        assert '<html lang="fr">' in shown
        assert "<h1>Le robot</h1>" in shown
        assert "Prêt" in shown
        assert f'<h2 id="chat-title">{Strings("en")("page_chat_title")}</h2>' in shown

"""The sandbox's page in a real browser: what a person sees of each surface, by mouse and keyboard."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Page, expect
from running_bot import Look, RunningBot

pytestmark = pytest.mark.browser
BOT = "@All-in-One Bot"


async def write(page: Page, text: str, place: str = "Message #general") -> None:
    """Type into a composer and send."""
    box = page.get_by_label(place, exact=True)
    await box.click()
    await page.keyboard.insert_text(text)
    await page.keyboard.press("Enter")
    await expect(box).to_have_value("")


async def choose(page: Page, message: str, shortcut: str) -> None:
    """Choose a shortcut from a message's menu."""
    row = page.locator("#main article.message:not(.ephemeral)", has_text=message)
    await row.hover()
    await row.get_by_role("button", name="More actions").click()
    await page.get_by_role("menuitem", name=shortcut).click()


async def test_a_command_is_suggested_completed_and_answered(bot: RunningBot, look: Look) -> None:
    page = await look()
    box = page.get_by_label("Message #general", exact=True)
    await box.click()
    await page.keyboard.type("/em")
    await expect(page.locator(".suggestions [role=option]")).to_contain_text("/emotion")
    await expect(page.locator(".suggestions [role=option]")).to_contain_text("Tell only me how a text sounds")
    await page.keyboard.press("Tab")
    await expect(box).to_have_value("/emotion ")
    await page.keyboard.insert_text("+ what a day")
    await page.keyboard.press("Enter")
    answer = page.locator("article.ephemeral").first
    await expect(answer).to_contain_text("Only visible to you")
    await expect(answer).to_contain_text("😄 LLM 情感判断：正面")
    await answer.get_by_role("button", name="Share here").click()
    await expect(page.locator("article.message:not(.ephemeral)")).to_contain_text("Ada shared:")
    await write(page, "/emotion --felings x")
    await expect(page.locator("article.ephemeral").last).to_contain_text("Did you mean --feelings?")


async def test_an_answer_grows_is_stopped_and_asked_again(bot: RunningBot, look: Look) -> None:
    bot.engine.answers, bot.engine.gate = ["The beginning of a very long answer"], asyncio.Event()
    page = await look()
    await write(page, f"{BOT} go")
    await page.locator(".replies").click()
    thread = page.get_by_label("Thread", exact=True)
    await expect(thread.locator(".writing")).to_contain_text("The beg")
    await thread.get_by_role("button", name="Stop").click()
    await expect(thread.get_by_text("Stopped.")).to_be_visible()
    bot.engine.gate, bot.engine.answers = None, ["Another **answer**"]
    await thread.get_by_role("button", name="Try again").click()
    await expect(thread.locator(".markdown strong")).to_have_text("answer")
    await expect(thread.locator("article.message")).to_have_count(2)
    await thread.get_by_role("button", name="👍").click()
    await expect(thread.get_by_text("Thank you, noted.")).to_be_visible()
    await thread.get_by_role("button", name="Forget this thread").click()
    await page.get_by_role("button", name="Yes").click()
    await expect(thread.get_by_text("Forgotten: I no longer know")).to_be_visible()


async def test_markdown_is_shown_and_nothing_in_it_runs(bot: RunningBot, look: Look) -> None:
    bot.engine.answers = [
        "# Plan\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```py\nx = 1 < 2\n```\n\n"
        "<script>document.title='run'</script><img src=x onerror=\"document.title='run'\"> "
        "[link](javascript:document.title='run') <!channel>"
    ]
    page = await look()
    await write(page, f"{BOT} <b>hello</b>")
    await page.locator(".replies").click()
    thread = page.get_by_label("Thread", exact=True)
    await expect(thread.get_by_role("button", name="Try again")).to_be_visible()
    answer = thread.locator(".markdown")
    await expect(answer.locator("h1")).to_have_text("Plan")
    await expect(answer.locator("li")).to_have_text(["one", "two"])
    await expect(answer.locator("pre")).to_have_text(["a | b\n--+--\n1 | 2\n", "x = 1 < 2\n"])
    await expect(answer).to_contain_text("<script>document.title='run'</script>")
    assert await thread.locator("script, img, a[href^=javascript], b, .loud").count() == 0
    assert "run" not in await page.title()


async def test_the_shortcuts_answer_the_asker_alone(bot: RunningBot, look: Look) -> None:
    page, other = await look("小林", locale="zh-CN"), await look("Bo")
    await write(other, "- the build broke")
    await choose(page, "the build broke", "Classify emotion")
    await expect(page.locator("article.ephemeral").first).to_contain_text("😞 LLM 情感判断：负面")
    await expect(page.locator("article.ephemeral").first).to_contain_text("置信度")
    await choose(page, "the build broke", "Thread mood")
    mood = page.locator("article.ephemeral", has_text="这个消息列的情绪")
    await expect(mood).to_contain_text("负面")
    assert await other.locator("article.ephemeral").count() == 0


async def test_the_home_tab_speaks_the_chosen_language(bot: RunningBot, look: Look) -> None:
    page = await look()
    await page.get_by_role("button", name="Home").click()
    await expect(page.get_by_role("heading", name="Hello, Ada")).to_be_visible()
    await expect(page.locator(".home")).to_contain_text("Model: scripted")
    await page.locator("select[data-action=set_language]").select_option("zh")
    await expect(page.get_by_role("heading", name="你好，Ada")).to_be_visible()
    await page.get_by_role("button", name="删除我的数据").click()
    await page.get_by_role("button", name="确定").click()
    await expect(page.locator(".home")).to_contain_text("I have deleted what I stored about you")


async def test_the_assistant_pane_greets_suggests_and_answers(bot: RunningBot, look: Look) -> None:
    page = await look()
    await page.get_by_role("button", name="New chat").click()
    pane = page.get_by_label("Thread", exact=True)
    await expect(pane).to_contain_text("Hello! Ask me anything")
    await pane.get_by_role("button", name="Explain something").click()
    await expect(pane.get_by_role("button", name="Try again")).to_be_visible()
    await expect(pane.get_by_role("heading")).to_have_text(
        "Explain in three sentences what a language model is."
    )
    await expect(pane.get_by_role("button", name="Explain something")).to_have_count(0)


async def test_the_keyboard_alone_is_enough(bot: RunningBot, look: Look) -> None:
    page = await look()
    await page.keyboard.type("@All")  # the composer has the focus from the start
    await expect(page.locator(".suggestions [role=option]")).to_have_count(1)
    await page.keyboard.press("Enter")
    await page.keyboard.type("hello")
    await page.keyboard.press("Enter")
    replies = page.locator(".replies")
    await expect(replies).to_contain_text("1 reply")
    await replies.focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Reply…")).to_be_focused()
    await page.keyboard.type("and again")
    await page.keyboard.press("Enter")
    thread = page.get_by_label("Thread", exact=True)
    await expect(thread.get_by_role("button", name="Try again")).to_have_count(2)
    await page.keyboard.press("Escape")
    await expect(thread).to_be_hidden()


async def test_on_a_phone_nothing_runs_out_of_the_screen(bot: RunningBot, look: Look) -> None:
    bot.engine.answers = ["word" * 60 + "\n\n```\n" + "x" * 300 + "\n```"]
    page = await look(viewport={"width": 360, "height": 640})
    await write(page, f"{BOT} hello")
    await page.locator(".replies").click()
    await expect(page.get_by_role("button", name="Try again")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360
    await page.get_by_role("button", name="Close thread").click()
    await page.get_by_role("button", name="Channels").click()
    await page.get_by_role("button", name="random").click()
    await expect(page.get_by_role("button", name="Invite All-in-One Bot")).to_be_visible()


async def test_enter_of_an_input_method_sends_nothing_and_what_cannot_be_sent_is_kept(
    bot: RunningBot, look: Look
) -> None:
    page = await look()
    box = page.get_by_label("Message #general", exact=True)
    await box.fill("你好")
    await box.evaluate(
        "box => box.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', keyCode: 229, bubbles: true}))"
    )
    await expect(box).to_have_value("你好")
    # What the real network does when nobody listens, without the browser's own line about it in the console.
    await page.evaluate("() => { window.fetch = () => Promise.reject(new TypeError('Failed to fetch')); }")
    await box.press("Enter")
    await expect(page.locator("#main .problem")).to_contain_text("The sandbox does not answer")
    await expect(box).to_have_value("你好")
    await expect(page.locator("#main article.message")).to_have_count(0)

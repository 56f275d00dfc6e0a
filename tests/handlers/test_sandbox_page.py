"""The sandbox's page in a real browser: what a person sees of each surface, by mouse and keyboard."""

from __future__ import annotations

import asyncio
import re

import pytest
from playwright.async_api import Browser, Page, expect
from running_bot import Look, RunningBot

from bot.sandbox import Sandbox
from bot.sandbox.page_api import page_strings
from config.settings import ROOT
from config.strings import Strings

pytestmark = pytest.mark.browser
BOT = "@All-in-One Bot"
ENGLISH, CHINESE = page_strings(Strings("en")), page_strings(Strings("zh"))
# Every text of the page, shown or read aloud.
WORDS = """() => {
  const found = [document.title];
  const walk = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) found.push(walk.currentNode.data);
  for (const node of document.querySelectorAll("*"))
    for (const name of ["aria-label", "title", "placeholder", "alt"])
      found.push(node.getAttribute(name) ?? "");
  return found.map((text) => text.trim()).filter(Boolean);
}"""


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
    await row.get_by_role("button", name=re.compile("More actions|更多操作")).click()
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


def of(text: str, catalogue: dict[str, str]) -> set[str]:
    """The keys of the sentences that a text of the page is, whatever stands for their {names}."""
    patterns = {key: re.sub(r"\\{\w+\\}", ".+", re.escape(said)) for key, said in catalogue.items()}
    return {key for key, pattern in patterns.items() if re.fullmatch(pattern, text)}


async def test_in_a_chinese_browser_no_word_of_the_page_is_english(bot: RunningBot, look: Look) -> None:
    page = await look("小林", locale="zh-CN")
    seen: set[str] = set()

    async def read() -> None:
        seen.update(await page.evaluate(WORDS))

    await expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    await expect(page.locator(".link")).to_have_text(CHINESE["sandbox_connected"])
    await read()
    await write(page, f"{BOT} 你好", "发消息到 #general")
    await expect(page.locator(".replies")).to_contain_text("1 条回复")
    own = page.locator("#main article.message")
    await own.hover()
    await own.get_by_role("button", name=CHINESE["sandbox_more_actions"]).click()
    await read()
    await page.get_by_role("menuitem", name=CHINESE["sandbox_edit"]).click()
    await read()
    await page.get_by_role("button", name=CHINESE["sandbox_save"]).click()
    await expect(page.locator(".edited")).to_have_text("（已编辑）")
    await write(page, "/emotion 今天太棒了", "发消息到 #general")
    await expect(page.locator("article.ephemeral")).to_contain_text("仅你可见")
    await page.locator(".replies").click()
    await page.get_by_label("回复……").fill("/chat 你好")
    await page.keyboard.press("Enter")
    await expect(page.locator("#thread .problem")).to_have_text(CHINESE["sandbox_failed_commands_in_threads"])
    await read()
    await page.get_by_role("button", name=CHINESE["sandbox_close_thread"]).click()
    await own.first.hover()
    await own.first.get_by_role("button", name=CHINESE["sandbox_more_actions"]).click()
    await page.get_by_role("menuitem", name=CHINESE["sandbox_delete"]).click()
    await expect(own.first).to_contain_text("这条消息已删除。")
    await page.get_by_role("button", name="random").click()
    await page.get_by_role("button", name="邀请 All-in-One Bot").click()
    await expect(page.locator(".system")).to_have_text("@All-in-One Bot 加入了频道")
    await page.locator("#main textarea").click()  # it may not have the focus yet
    await page.keyboard.type("/inv")
    await expect(page.locator("#main .suggestions")).to_contain_text(CHINESE["sandbox_invite_note"])
    await read()
    await page.get_by_role("button", name="主页").click()
    await read()
    await page.get_by_role("button", name="新对话").click()
    await expect(page.get_by_label("消息列", exact=True)).to_contain_text("你好！")
    await read()
    (ROOT / "artifacts").mkdir(exist_ok=True)
    await page.screenshot(path=ROOT / "artifacts" / "sandbox-zh.png")
    assert {text for text in seen if of(text, ENGLISH)} == set()
    assert len({key for text in seen for key in of(text, CHINESE)}) > 30


@pytest.mark.parametrize("width", [1280, 390])
async def test_a_sandbox_that_ended_is_told_in_the_pages_language_and_the_text_is_kept(
    bot: RunningBot, browser: Browser, width: int
) -> None:
    context = await browser.new_context(locale="zh-CN", viewport={"width": width, "height": 844})
    page = await context.new_page()
    await page.goto(f"{bot.sandbox.page_url}?user=小林")
    await write(page, "大家好", "发消息到 #general")
    await expect(page.locator("article.message")).to_have_count(1)
    await bot.connection.stop()
    await bot.sandbox.stop()
    box = page.get_by_label("发消息到 #general", exact=True)
    await box.fill("还在吗？")
    await box.press("Enter")
    await expect(page.locator("#main .problem")).to_have_text(CHINESE["sandbox_failed_offline"])
    await expect(page.locator(".link")).to_have_text(CHINESE["sandbox_offline"])
    await expect(box).to_have_value("还在吗？")
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    (ROOT / "artifacts").mkdir(exist_ok=True)
    await page.screenshot(path=ROOT / "artifacts" / f"sandbox-zh-{width}.png")
    await context.close()


async def test_a_name_that_nobody_has_is_told(sandbox: Sandbox, browser: Browser) -> None:
    context = await browser.new_context(locale="zh-CN")
    page = await context.new_page()
    await page.goto(f"{sandbox.page_url}?user=Nobody")
    await expect(page.locator("#main")).to_have_text(CHINESE["sandbox_failed_user_not_found"])
    await context.close()


# The contrast of an element's text with what is behind it, as WCAG 2 computes it.
CONTRAST = """(node) => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d");
  const light = (colour) => {
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((value) =>
      value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const style = getComputedStyle(node);
  const [less, more] = [light(style.color), light(style.backgroundColor)].sort((a, b) => a - b);
  return (more + 0.05) / (less + 0.05);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_apps_badge_can_be_read(bot: RunningBot, look: Look, scheme: str) -> None:
    page = await look(color_scheme=scheme)
    await write(page, "/emotion what a day")
    badge = page.locator("article.ephemeral .badge")
    await expect(badge).to_have_text("APP")
    assert await badge.evaluate(CONTRAST) >= 4.5


async def test_marks_in_mrkdwn_count_only_beside_half_width_characters(bot: RunningBot, look: Look) -> None:
    plain = ["依据：*很慢*，", "太*难*了", "“*难*”", "请写`/chat`。", "a*b*c", "_对_吧", "～~错~"]
    text = "\n".join([*plain, "依据 *很慢* 和", "(*bad*)", "写 `/chat 好` 吧", "~不~", "_也_"])
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": text}}]
    await bot.app.slack.client.chat_postMessage(
        channel=bot.sandbox.channels["general"], text="x", blocks=blocks
    )
    page = await look()
    section = page.locator("article.message .section")
    await expect(section.locator("strong")).to_have_text(["很慢", "bad"])
    await expect(section.locator("code")).to_have_text(["/chat 好"])
    await expect(section.locator("s, em")).to_have_text(["不", "也"])
    for line in plain:
        await expect(section).to_contain_text(line)


async def test_the_decisive_words_are_bold_between_chinese_characters(bot: RunningBot, look: Look) -> None:
    page = await look("小林")
    await write(page, "/emotion 这家店，很-*难*吃*，再也不来")
    reason = page.locator("article.ephemeral .rich", has_text="依据：")
    await expect(reason.locator("strong")).to_have_count(1)
    await expect(reason.locator("strong")).to_contain_text("-")

"""The pictures of each Slack surface for README, taken from a bot that runs in its sandbox.

python -m bot run &                          # a fresh one, without Slack tokens
python benchmarks/sandbox_pictures.py        # writes docs/images/sandbox-*.png
"""

from __future__ import annotations

import argparse
import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Locator, Page, async_playwright

CHROMIUM = Path("/usr/bin/chromium")  # where there is none, the one that playwright installs
INSTALLED: dict[str, Any] = {"executable_path": str(CHROMIUM)} if CHROMIUM.exists() else {}
MOST_BYTES = 250_000
PATIENCE = 120_000  # milliseconds
BOT = "@All-in-One Bot"
RELEASE = "Version 2 is out. Thank you all, what a team!"
OPINIONS = (
    ("Bo", "The new search is so much faster, I love it."),
    ("小林", "但是导出功能又坏了，客户一直在抱怨……"),
    ("Bo", "Oh no. The same bug as last month, this is really annoying."),
    ("小林", "修好了！测试全部通过，太棒了！"),
)
SENTENCE = re.compile(r"\w.{100}", re.DOTALL)
STORY = "Write a story about a robot that learns to bake bread."
QUESTION = "Give me three short tips for a good stand-up meeting, as a list."


class Studio:
    """The workspace, seen by each person on a page of their own."""

    def __init__(self, browser: Browser, url: str, out: Path) -> None:
        self._browser, self._url, self._out = browser, url, out
        self._pages: dict[str, Page] = {}
        self.taken: list[Path] = []

    async def page(self, user: str) -> Page:
        """One person's page."""
        if user not in self._pages:
            page = await self._browser.new_page(locale="en-GB", viewport={"width": 1120, "height": 640})
            await page.goto(f"{self._url}?user={user}")
            await page.wait_for_selector(".link.up")
            self._pages[user] = page
        return self._pages[user]

    async def say(self, user: str, text: str, place: str = "Message #general") -> None:
        """Type and send."""
        page = await self.page(user)
        box = page.get_by_label(place, exact=True)
        await box.click()
        await page.keyboard.insert_text(text)
        await page.keyboard.press("Enter")

    async def open_thread(self, user: str, text: str) -> Locator:
        """The thread under a message."""
        page = await self.page(user)
        row = page.locator("#main article.message:not(.ephemeral)", has_text=text)
        await row.hover()
        await row.get_by_role("button", name="Reply in thread").click()
        return page.get_by_label("Thread", exact=True)

    async def choose(self, user: str, text: str, shortcut: str) -> None:
        """Choose a shortcut from a message's menu."""
        page = await self.page(user)
        row = page.locator("#main article.message:not(.ephemeral)", has_text=text)
        await row.hover()
        await row.get_by_role("button", name="More actions").click()
        await page.get_by_role("menuitem", name=shortcut).click()

    async def take(self, name: str, user: str = "Ada") -> None:
        """Keep what the page looks like now."""
        page = await self.page(user)
        await page.mouse.move(5, 400)
        target = self._out / f"sandbox-{name}.png"
        await page.screenshot(path=target, animations="disabled")
        self.taken.append(target)


async def emotion(studio: Studio) -> None:
    """A command's answer, with the words that decided."""
    page = await studio.page("Ada")
    await studio.say("Bo", "Good morning! The demo is at three.")
    await studio.say("Ada", "/emotion 今天的实验终于成功了，太棒了！")
    await page.get_by_text("Because of").first.wait_for(timeout=PATIENCE)
    await studio.take("emotion")


async def shortcut_and_mood(studio: Studio) -> None:
    """How one message sounds, and how a thread does."""
    page = await studio.page("Ada")
    await studio.say("Ada", RELEASE)
    for user, text in OPINIONS:
        thread = await studio.open_thread(user, RELEASE)
        await studio.say(user, text, "Reply…")
        await thread.get_by_text(text).wait_for()
    await studio.say("Bo", "The coffee machine is broken again. Third time this week.")
    await studio.choose("Ada", "The coffee machine", "Classify emotion")
    await page.get_by_text("Because of").nth(1).wait_for(timeout=PATIENCE)
    await studio.take("shortcut")
    await studio.choose("Ada", RELEASE, "Thread mood")
    thread = await studio.open_thread("Ada", RELEASE)
    await thread.get_by_text("Mood of this thread").wait_for(timeout=PATIENCE)
    await studio.take("mood")
    await page.get_by_role("button", name="Close thread").click()


async def answer(studio: Studio) -> None:
    """An answer while it is written, and one that is finished."""
    page = await studio.page("Ada")
    thread = page.get_by_label("Thread", exact=True)
    asked = page.locator("#main article.message:not(.ephemeral)")
    await studio.say("Ada", f"{BOT} {STORY}")
    await asked.filter(has_text=STORY).locator(".replies").click(timeout=PATIENCE)
    begun = thread.locator(".writing .markdown").filter(has_text=SENTENCE)
    await begun.wait_for(timeout=PATIENCE)
    await studio.take("writing")
    await thread.get_by_role("button", name="Stop").click()
    await thread.get_by_role("button", name="Try again").wait_for(timeout=PATIENCE)
    await page.get_by_role("button", name="Close thread").click()
    await studio.say("Ada", f"{BOT} {QUESTION}")
    await asked.filter(has_text=QUESTION).locator(".replies").click(timeout=PATIENCE)
    await thread.get_by_role("button", name="Try again").wait_for(timeout=PATIENCE)
    await studio.take("thread")
    await page.get_by_role("button", name="Close thread").click()


async def pane(studio: Studio) -> None:
    """The assistant pane, with its suggestions."""
    page = await studio.page("Ada")
    await page.get_by_role("button", name="New chat").click()
    await page.get_by_role("button", name="Explain something").wait_for(timeout=PATIENCE)
    await studio.take("pane")


async def home(studio: Studio) -> None:
    """The Home tab."""
    page = await studio.page("Ada")
    await page.get_by_role("button", name="Home").click()
    await page.locator(".home").wait_for(timeout=PATIENCE)
    await page.locator(".home", has_text="characters a second").wait_for(timeout=PATIENCE)
    await studio.take("home")


SCENES: tuple[Callable[[Studio], Awaitable[None]], ...] = (emotion, shortcut_and_mood, answer, pane, home)


async def play(url: str, out: Path) -> list[Path]:
    """Every scene in turn; the pictures taken."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(args=["--no-sandbox"], **INSTALLED)
        studio = Studio(browser, url, out)
        for scene in SCENES:
            await scene(studio)
        await browser.close()
        return studio.taken


def main() -> None:
    """Take the pictures and say how large they are."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default="http://127.0.0.1:8001/", help="the sandbox, as `run` prints it")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for picture in asyncio.run(play(options.url, options.out)):
        size = picture.stat().st_size
        print(f"{picture}: {size:,} bytes")
        if size > MOST_BYTES:
            raise SystemExit(f"that is more than {MOST_BYTES:,}: make the picture smaller")


if __name__ == "__main__":
    main()

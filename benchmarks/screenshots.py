"""The picture of the page for README, taken from a bot that is running.

python -m bot run &
python benchmarks/screenshots.py            # writes docs/images/page.png
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from playwright.async_api import async_playwright

CHROMIUM = Path("/usr/bin/chromium")  # where there is none, the one that playwright installs
INSTALLED = {"executable_path": str(CHROMIUM)} if CHROMIUM.exists() else {}
MOST_BYTES = 200_000
JUDGED = ("快递又丢了，客服还挂我电话", "今天的实验终于成功了，太棒了！")
ASKED = "Give me three short tips for a good stand-up meeting, as a list."


async def take(url: str, target: Path) -> None:
    """Use the page as a person would, and keep what it looks like then."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(args=["--no-sandbox"], **INSTALLED)
        page = await browser.new_page(locale="en-US", viewport={"width": 1200, "height": 760})
        await page.goto(url)
        await page.wait_for_selector("#state[data-state=ready]", timeout=120_000)
        for number, text in enumerate(JUDGED):
            await page.fill("#emotion-text", text)
            await page.press("#emotion-text", "Enter")
            await page.locator(".result .confidence").nth(number).wait_for()
        await page.get_by_role("button", name="Why?").first.click()
        await page.wait_for_selector(".because:not(.wait)")
        await page.fill("#chat-text", ASKED)
        await page.press("#chat-text", "Enter")
        await page.wait_for_selector(".said.bot .rendered:not(.stream)", timeout=120_000)
        await page.evaluate("document.activeElement.blur()")
        await page.screenshot(path=target)
        await browser.close()


def main() -> None:
    """Take the picture and say how large it is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default="http://127.0.0.1:8000/", help="where the bot runs")
    parser.add_argument("--out", type=Path, default=Path("docs/images/page.png"))
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    asyncio.run(take(options.url, options.out))
    size = options.out.stat().st_size
    print(f"{options.out}: {size:,} bytes")
    if size > MOST_BYTES:
        raise SystemExit(f"that is more than {MOST_BYTES:,}: make the picture smaller")


if __name__ == "__main__":
    main()

"""What is half typed in the sandbox stays with its place and its person."""

from __future__ import annotations

import pytest
from playwright.async_api import expect
from running_bot import Look, RunningBot

pytestmark = pytest.mark.browser


async def test_what_is_half_typed_stays_in_its_place(bot: RunningBot, look: Look) -> None:
    page = await look()
    general, random = (page.get_by_label(f"Message #{name}", exact=True) for name in ("general", "random"))
    await general.fill("two lines\nof a thought")
    tall = await general.bounding_box()
    await page.get_by_role("button", name="random").click()
    await expect(random).to_have_value("")
    await random.fill("another")
    await page.get_by_role("button", name="general").click()
    await expect(general).to_have_value("two lines\nof a thought")
    assert await general.bounding_box() == tall
    await page.get_by_label("You are").select_option(label="Bo")
    await expect(general).to_have_value("")
    await page.get_by_label("You are").select_option(label="Ada")
    await expect(general).to_have_value("two lines\nof a thought")
    await general.press("Enter")
    await expect(page.locator("article.message")).to_contain_text("of a thought")
    await page.get_by_role("button", name="random").click()
    await expect(random).to_have_value("another")
    await page.get_by_role("button", name="general").click()
    await expect(general).to_have_value("")

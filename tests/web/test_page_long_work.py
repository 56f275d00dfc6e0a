"""The page while something takes long: very long texts, many lines, answers that are stopped or cut off."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect
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

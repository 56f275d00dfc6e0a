"""What axe finds on a page that some people cannot see, read or reach."""

from __future__ import annotations

import pytest
from playwright.async_api import Page


async def findings(page: Page) -> list[str]:
    """The serious and critical ones: rule, what is wrong, and where. Skips where axe is not installed."""
    axe = pytest.importorskip(
        "axe_playwright_python.async_playwright", reason="no axe: `pip install axe-playwright-python`"
    )
    found = await axe.Axe().run(page)
    return [
        f"{each['id']}: {each['help']}: {node['target']} {node['failureSummary']}"
        for each in found.response["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]

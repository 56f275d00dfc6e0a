"""What axe finds on a page that some people cannot see, read or reach."""

from __future__ import annotations

import itertools

import pytest
from playwright.async_api import Page

# Locale, size of the window, colour scheme.
LOOKS = list(itertools.product(["en-US", "zh-CN"], [(1280, 800), (390, 844)], ["light", "dark"]))
# An answer with all that Markdown may hold.
REPLY = """# A plan

See [the docs](https://example.com/) and `make run`:

1. first
2. then
   - a part

> quoted

| what | how long it takes in all, with everything that belongs to it | where |
|:-----|-----:|:---:|
| one | 2 | here and there and everywhere |

```python
print("a line of code that is much longer than a telephone is wide, and must be scrolled", 1)
```
"""


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

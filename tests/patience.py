"""How long a test waits for what must come: a slow machine is no failure, what never comes is one."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

PATIENCE = 300.0  # seconds


async def wait_until(happened: Callable[[], Any]) -> Any:
    """The first true value of `happened`, a function or a coroutine function, tried again and again.

    Raises AssertionError when it stays false.
    """
    end = time.monotonic() + PATIENCE
    while True:
        value = happened()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        assert time.monotonic() < end, f"still not so after {PATIENCE:g} s"
        await asyncio.sleep(0.02)

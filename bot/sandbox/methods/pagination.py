"""Cursors: opaque names for where the next page begins."""

from __future__ import annotations

import base64
import binascii
from typing import TypeVar

from bot.sandbox.arguments import Arguments
from bot.sandbox.errors import SlackError
from bot.sandbox.workspace import Json

Item = TypeVar("Item")


def page(items: list[Item], arguments: Arguments, usual: int, most: int) -> tuple[list[Item], Json]:
    """One page of `items`, and the response_metadata that leads to the next.

    Raises SlackError invalid_cursor, invalid_limit.
    """
    start = 0
    if "cursor" in arguments:
        try:
            start = int(base64.b64decode(arguments.text("cursor"), validate=True).removeprefix(b"next:"))
        except (ValueError, binascii.Error):
            raise SlackError("invalid_cursor") from None
    limit = arguments.number("limit", usual, 1, most)
    end = start + limit
    after = base64.b64encode(b"next:%d" % end).decode() if end < len(items) else ""
    return items[start:end], {"response_metadata": {"next_cursor": after}}

"""JSON answers, with Chinese as it is written."""

from __future__ import annotations

import json
from collections.abc import Mapping

from aiohttp import web


def json_bytes(value: object) -> bytes:
    """`value` as UTF-8 JSON; half a surrogate pair, which UTF-8 has no bytes for, becomes a question mark."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def json_answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer that holds `value`."""
    return web.Response(
        body=json_bytes(value),
        status=status,
        headers=headers,
        content_type="application/json",
        charset="utf-8",
    )

"""JSON and streams of JSON: what the handlers answer with."""

from __future__ import annotations

import json
from collections.abc import Mapping

from aiohttp import web

from config.strings import DEFAULT


def json_bytes(value: object) -> bytes:
    """`value` as UTF-8 JSON; half a surrogate pair, which UTF-8 has no bytes for, becomes a question mark."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def json_response(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A response whose body is `value`, with Chinese as it is written."""
    return web.Response(
        body=json_bytes(value),
        status=status,
        headers=headers,
        content_type="application/json",
        charset="utf-8",
    )


class EventStream:
    """Server-sent events over one response.

    Nothing is sent before the first one, so that an early failure has a status. language: the reader's.
    """

    def __init__(self, request: web.Request, language: str = DEFAULT) -> None:
        self._request = request
        self.language = language
        self._response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
        )

    @property
    def started(self) -> bool:
        """Whether the status is already on its way."""
        return self._response.prepared

    async def send(self, data: object, event: str | None = None) -> None:
        """Send one event; `data` is a JSON value, or text that is sent as it is."""
        if not self.started:
            await self._response.prepare(self._request)
        body = data.encode() if isinstance(data, str) else json_bytes(data)
        name = f"event: {event}\n".encode() if event else b""
        await self._response.write(name + b"data: " + body + b"\n\n")

    async def end(self) -> web.StreamResponse:
        """Finish; what the handler returns."""
        await self._response.write_eof()
        return self._response

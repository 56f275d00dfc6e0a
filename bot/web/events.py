"""Server-sent events: JSON objects, one after the other, over one answer."""

from __future__ import annotations

from aiohttp import web

from bot.web.answers import json_bytes


class Events:
    """One stream of events. Nothing is sent before the first one, so that an early failure has a status."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
        )

    @property
    def begun(self) -> bool:
        """Whether the status is already on its way."""
        return self._response.prepared

    async def send(self, data: object, event: str | None = None) -> None:
        """Send one event; `data` is a JSON value, or text that is sent as it is."""
        if not self.begun:
            await self._response.prepare(self._request)
        body = data.encode() if isinstance(data, str) else json_bytes(data)
        name = f"event: {event}\n".encode() if event else b""
        await self._response.write(name + b"data: " + body + b"\n\n")

    async def end(self) -> web.StreamResponse:
        """Finish; what the handler returns."""
        await self._response.write_eof()
        return self._response

"""JSON and streams of JSON: what the handlers answer with."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType

from aiohttp import web

from config.strings import DEFAULT

COMMENT_SECONDS = 3.0  # of silence in a stream; clients and proxies give up after ten or more


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
    """Server-sent events over one response; `async with` sends a comment wherever it is silent for long.

    Nothing is sent before the first event or comment, so that an early failure has a status.
    language: the reader's.
    """

    def __init__(self, request: web.Request, language: str = DEFAULT) -> None:
        self._request = request
        self.language = language
        self._response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
        )
        self._sending = asyncio.Lock()
        self._sent = time.monotonic()

    async def __aenter__(self) -> EventStream:
        self._comments = asyncio.create_task(self._comment())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._comments.cancel()

    @property
    def started(self) -> bool:
        """Whether the status is already on its way."""
        return self._response.prepared

    async def send(self, data: object, event: str | None = None) -> None:
        """Send one event; `data` is a JSON value, or text that is sent as it is."""
        body = data.encode() if isinstance(data, str) else json_bytes(data)
        name = f"event: {event}\n".encode() if event else b""
        async with self._sending:
            await self._write(name + b"data: " + body + b"\n\n")

    async def end(self) -> web.StreamResponse:
        """Finish; what the handler returns."""
        await self._response.write_eof()
        return self._response

    async def _comment(self) -> None:
        """Send a comment, which every client leaves out, after each COMMENT_SECONDS of silence."""
        with suppress(ConnectionError):  # who is gone is noticed by the handler
            while True:
                await asyncio.sleep(self._sent + COMMENT_SECONDS - time.monotonic())
                async with self._sending:
                    if time.monotonic() >= self._sent + COMMENT_SECONDS:
                        await self._write(b": waiting\n\n")

    async def _write(self, data: bytes) -> None:
        if not self.started:
            await self._response.prepare(self._request)
        await self._response.write(data)
        self._sent = time.monotonic()

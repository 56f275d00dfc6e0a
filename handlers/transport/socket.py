"""One Socket Mode connection that knows whether it is alive. It never reconnects by itself."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

from aiohttp import WSMessage
from slack_bolt.adapter.socket_mode.async_internals import run_async_bolt_app, send_async_response
from slack_bolt.async_app import AsyncApp
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest

from bot.app.proxies import proxy_for

log = logging.getLogger(__name__)

PING_SECONDS = 5.0
CONNECT_SECONDS = 15.0
CLOSE_SECONDS = 3.0


class Socket(SocketModeClient):
    """The SDK's socket client, connected once.

    The SDK's client reconnects by itself, but closes the old socket before the new one stands, tries
    a used ticket again for ever, and can report itself connected while it receives nothing. Here all
    of its ways to reconnect only call `on_leaving`; whoever owns the socket opens another one.
    """

    def __init__(self, app: AsyncApp, app_token: str, on_leaving: Callable[[], None]) -> None:
        super().__init__(
            app_token,
            logger=logging.getLogger("slack_sdk.socket_mode"),
            web_client=app.client,
            auto_reconnect_enabled=False,
            ping_interval=PING_SECONDS,
        )
        self._app, self._on_leaving = app, on_leaving
        self.leaving = False  # Slack asked to connect anew
        self.counted = 0  # connections of the app, this one included, when Slack said hello
        self.last_message = time.monotonic()  # when Slack last sent an envelope or anything else with content
        self._last_sign = time.monotonic()  # when it last gave any sign of life
        self._pong: float | None = None
        self._stuck_since: float | None = None
        self._handling: set[asyncio.Task[None]] = set()
        self._latest: dict[str, asyncio.Task[None]] = {}  # of each thread, the envelope handled last
        self._greeted = asyncio.Event()
        self.message_listeners.append(self._received)
        self.socket_mode_request_listeners.append(self._handle)
        self.on_close_listeners.append(self._lost)
        self.on_error_listeners.append(self._lost)

    async def open(self) -> None:
        """Connect, and wait until Slack says hello. Raises SlackApiError, ClientError or TimeoutError."""
        try:
            self.wss_uri = await asyncio.wait_for(self.issue_new_wss_url(), CONNECT_SECONDS)
            self.proxy = proxy_for(self.wss_uri)
            await asyncio.wait_for(self._connect_and_greet(), CONNECT_SECONDS)
        except BaseException:
            await self.end()
            raise

    async def _connect_and_greet(self) -> None:
        await self.connect()  # type: ignore[no-untyped-call]  # the SDK types it not
        await self._greeted.wait()
        if self.leaving:
            raise ConnectionError("Slack closed the new socket at once")

    def is_alive(self, patience: float) -> bool:
        """Whether Slack gave a sign of life within `patience` seconds and its envelopes are handled."""
        now, session = time.monotonic(), self.current_session
        if self.last_ping_pong_time != self._pong:
            self._pong, self._last_sign = self.last_ping_pong_time, now
        if self.closed or session is None or session.closed:
            return False
        if self.message_processor.done() or self.message_receiver is None or self.message_receiver.done():
            return False
        self._stuck_since = (self._stuck_since or now) if self.message_queue.qsize() else None
        stuck = self._stuck_since is not None and now - self._stuck_since > patience
        return not stuck and now - self._last_sign <= patience

    async def connect_to_new_endpoint(self, force: bool = False) -> None:
        """Every way in which the SDK would reconnect comes through here."""
        self.leaving = True
        self._greeted.set()
        self._on_leaving()

    async def end(self, patience: float = 0.0) -> None:
        """Take no new envelope, give those being handled `patience` seconds, and close. Never raises."""
        self.socket_mode_request_listeners.clear()
        if self._handling and patience:
            await asyncio.wait(set(self._handling), timeout=patience)
        self.closed = True
        for task in (self.current_session_monitor, self.message_receiver, self.message_processor):
            if task is not None:
                task.cancel()
        for closing in (self.current_session, self.aiohttp_client_session):
            if closing is not None:
                with contextlib.suppress(Exception):  # a half-open socket does not answer
                    await asyncio.wait_for(closing.close(), CLOSE_SECONDS)

    async def _received(self, _: Any, message: dict[str, Any], __: str | None) -> None:
        self.last_message = self._last_sign = time.monotonic()
        if message.get("type") == "hello":
            self.counted = int(message.get("num_connections") or 0)
            self._greeted.set()

    async def _lost(self, _: WSMessage) -> None:
        self._on_leaving()

    async def _handle(self, _: Any, request: SocketModeRequest) -> None:
        thread = _thread(request)
        before = self._latest.get(thread) if thread else None
        handling = asyncio.ensure_future(self._acknowledge(request, before))
        self._handling.add(handling)
        handling.add_done_callback(self._handling.discard)
        if thread:
            self._latest[thread] = handling
        await handling
        if thread and self._latest.get(thread) is handling:
            del self._latest[thread]

    async def _acknowledge(self, request: SocketModeRequest, before: asyncio.Task[None] | None) -> None:
        if before is not None:  # the events of a thread are handled in their order
            await asyncio.wait((before,))
        started = time.time()
        response = await run_async_bolt_app(self._app, request)
        try:
            await send_async_response(self, request, response, started)
        except (ConnectionError, OSError):  # Slack delivers it again, and it is known then
            log.warning("an envelope was handled, but its acknowledgement found no open socket")


def _thread(request: SocketModeRequest) -> str:
    """The thread in which an event happened; "" for anything else."""
    payload: dict[str, Any] = request.payload if isinstance(request.payload, dict) else {}
    event = payload.get("event") or {}
    # Of an edit or a deletion, the message that it is about.
    about = event.get("message") or event.get("previous_message") or event
    ts = about.get("thread_ts") or about.get("ts")
    return f"{event.get('channel')}:{ts}" if ts else ""

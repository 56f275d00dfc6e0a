"""One socket to Slack that knows whether it still hears. It never connects again by itself."""

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

log = logging.getLogger(__name__)

PING_SECONDS = 5.0
CONNECT_SECONDS = 15.0
CLOSE_SECONDS = 3.0


class Socket(SocketModeClient):
    """Slack's own socket client, connected once, with the reasons to replace it made plain.

    The SDK's client reconnects by itself, but closes the old socket before the new one stands, tries
    a used ticket again for ever, and can report itself connected while it hears nothing. Here all
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
        self.told = time.monotonic()  # when Slack last sent an event or anything else with content
        self._heard = time.monotonic()  # when it last gave any sign of life
        self._pong: float | None = None
        self._stuck_since: float | None = None
        self._working: set[asyncio.Task[None]] = set()
        self._latest: dict[str, asyncio.Task[None]] = {}  # of each thread, what is handled last
        self._greeted = asyncio.Event()
        self.message_listeners.append(self._note)
        self.socket_mode_request_listeners.append(self._handle)
        self.on_close_listeners.append(self._lost)
        self.on_error_listeners.append(self._lost)

    async def open(self) -> None:
        """Connect, and wait until Slack says hello. Raises SlackApiError, ClientError or TimeoutError."""
        try:
            self.wss_uri = await asyncio.wait_for(self.issue_new_wss_url(), CONNECT_SECONDS)
            await asyncio.wait_for(self._connect_and_greet(), CONNECT_SECONDS)
        except BaseException:
            await self.end()
            raise

    async def _connect_and_greet(self) -> None:
        await self.connect()  # type: ignore[no-untyped-call]  # the SDK types it not
        await self._greeted.wait()
        if self.leaving:
            raise ConnectionError("Slack closed the new socket at once")

    def hears(self, patience: float) -> bool:
        """Whether Slack gave a sign of life within `patience` seconds and what it sent is worked on."""
        now, session = time.monotonic(), self.current_session
        if self.last_ping_pong_time != self._pong:
            self._pong, self._heard = self.last_ping_pong_time, now
        if self.closed or session is None or session.closed:
            return False
        if self.message_processor.done() or self.message_receiver is None or self.message_receiver.done():
            return False
        self._stuck_since = (self._stuck_since or now) if self.message_queue.qsize() else None
        stuck = self._stuck_since is not None and now - self._stuck_since > patience
        return not stuck and now - self._heard <= patience

    @property
    def heard(self) -> float:
        """Seconds (monotonic) of the last sign of life."""
        return max(self._heard, self.told)

    async def connect_to_new_endpoint(self, force: bool = False) -> None:
        """Every way in which the SDK would reconnect comes through here."""
        self.leaving = True
        self._greeted.set()
        self._on_leaving()

    async def end(self, patience: float = 0.0) -> None:
        """Take nothing new, give what is being handled `patience` seconds, and close. Never raises."""
        self.socket_mode_request_listeners.clear()
        if self._working and patience:
            await asyncio.wait(set(self._working), timeout=patience)
        self.closed = True
        for task in (self.current_session_monitor, self.message_receiver, self.message_processor):
            if task is not None:
                task.cancel()
        for closing in (self.current_session, self.aiohttp_client_session):
            if closing is not None:
                with contextlib.suppress(Exception):  # half-open sockets say no goodbye
                    await asyncio.wait_for(closing.close(), CLOSE_SECONDS)

    async def _note(self, _: Any, message: dict[str, Any], __: str | None) -> None:
        self.told = self._heard = time.monotonic()
        if message.get("type") == "hello":
            self._greeted.set()

    async def _lost(self, _: WSMessage) -> None:
        self._on_leaving()

    async def _handle(self, _: Any, request: SocketModeRequest) -> None:
        thread = _thread(request)
        before = self._latest.get(thread) if thread else None
        work = asyncio.ensure_future(self._answer(request, before))
        self._working.add(work)
        work.add_done_callback(self._working.discard)
        if thread:
            self._latest[thread] = work
        await work
        if thread and self._latest.get(thread) is work:
            del self._latest[thread]

    async def _answer(self, request: SocketModeRequest, before: asyncio.Task[None] | None) -> None:
        if before is not None:  # what is said in a thread is taken up in its order
            await asyncio.wait((before,))
        started = time.time()
        response = await run_async_bolt_app(self._app, request)
        try:
            await send_async_response(self, request, response, started)
        except (ConnectionError, OSError):  # Slack delivers it again, and it is known then
            log.warning("a request was stored, but its acknowledgement found no open socket")


def _thread(request: SocketModeRequest) -> str:
    """The thread in which an event happened; "" for anything else."""
    payload: dict[str, Any] = request.payload if isinstance(request.payload, dict) else {}
    event = payload.get("event") or {}
    ts = event.get("thread_ts") or event.get("ts")
    return f"{event.get('channel')}:{ts}" if ts else ""

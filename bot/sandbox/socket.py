"""Socket mode: single-use tickets, connections, envelopes with acknowledgement and redelivery."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from bot.sandbox.errors import SlackError
from bot.sandbox.faults import Faults
from bot.sandbox.workspace import APP_ID, Json

MAX_CONNECTIONS = 10
TICKET_SECONDS = 30.0
PING_SECONDS = 10.0
KEPT = 5000  # what was sent and acknowledged lately


@dataclass(eq=False)
class Connection:
    """One WebSocket of the app. A half-open one stays connected and does nothing."""

    socket: web.WebSocketResponse
    request: web.Request
    half_open: bool = False
    leaving: bool = False

    async def send(self, message: Json) -> None:
        """Send one JSON message; a half-open connection swallows it."""
        if not self.half_open:
            await self.socket.send_str(json.dumps(message))

    def cut(self) -> None:
        """Break the TCP connection, as a pulled cable would, without a WebSocket close."""
        if self.request.transport is not None:
            self.request.transport.abort()


@dataclass(eq=False)
class Envelope:
    """One envelope on its way, until it is acknowledged. `answer` becomes the acknowledgement's payload."""

    id: str
    payload: Json
    connection: Connection
    answer: asyncio.Future[Json | None]
    at: float = field(default_factory=time.monotonic)


class Sockets:
    """The app's connections, and the envelopes that travel on them."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.connections: list[Connection] = []
        self.envelopes: dict[str, Envelope] = {}
        self.delivered: deque[tuple[Envelope, int]] = deque(maxlen=KEPT)  # with the attempt, as sent
        self.opened = 0
        self.ack_times: deque[float] = deque(maxlen=KEPT)  # seconds from sending to acknowledgement
        self.changed: Callable[[], None] = lambda: None  # called when a connection comes or goes
        self._tickets: dict[str, float] = {}
        self._turn = 0
        self._arrived = asyncio.Event()

    def ticket(self) -> str:
        """A ticket that opens one connection within half a minute."""
        if self.faults.refuse_sockets:
            raise SlackError(self.faults.refuse_sockets)
        now = time.monotonic()
        self._tickets = {ticket: at for ticket, at in self._tickets.items() if now - at < TICKET_SECONDS}
        ticket = secrets.token_hex(16)
        self._tickets[ticket] = now
        return ticket

    # --- connections ---

    async def accept(self, request: web.Request) -> web.StreamResponse:
        """The WebSocket endpoint: a used, unknown or old ticket is refused with 401."""
        issued = self._tickets.pop(request.query.get("ticket", ""), None)
        if issued is None or time.monotonic() - issued > TICKET_SECONDS:
            raise web.HTTPUnauthorized(text="invalid or used ticket")
        socket = web.WebSocketResponse(autoping=False, autoclose=True)
        await socket.prepare(request)
        connection = Connection(socket, request)
        if len(self.connections) >= MAX_CONNECTIONS:
            await connection.send({"type": "disconnect", "reason": "too_many_websockets"})
            await socket.close()
            return socket
        self.connections.append(connection)
        self.opened += 1
        pinging = asyncio.ensure_future(self._ping(connection))
        try:
            await connection.send(self._hello())
            self._arrived.set()
            self.changed()
            await self._listen(connection)
        except ConnectionError:
            pass  # the app went away in the middle: the same as a close
        finally:
            pinging.cancel()
            self.connections.remove(connection)
            self.changed()
            for envelope in self.envelopes.values():
                if envelope.connection is connection and not envelope.answer.done():
                    envelope.answer.set_exception(ConnectionError("the connection closed"))
        return socket

    def _hello(self) -> Json:
        return {
            "type": "hello",
            "num_connections": len(self.connections),
            "connection_info": {"app_id": APP_ID},
            "debug_info": {"host": "sandbox", "build_number": 1, "approximate_connection_time": 18060},
        }

    async def _listen(self, connection: Connection) -> None:
        socket = connection.socket
        while True:
            frame = await socket.receive()
            if frame.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                return
            if connection.half_open:
                continue
            if frame.type == WSMsgType.PING:
                await socket.pong(frame.data)
            elif frame.type == WSMsgType.TEXT:
                self._acknowledge(frame.data)

    async def _ping(self, connection: Connection) -> None:
        while True:
            await asyncio.sleep(PING_SECONDS)
            if not connection.half_open:
                with contextlib.suppress(ConnectionError):
                    await connection.socket.ping(b"Ping from sandbox")

    def _acknowledge(self, text: str) -> None:
        try:
            found = json.loads(text)
        except ValueError:
            return
        envelope = self.envelopes.get(found.get("envelope_id", "")) if isinstance(found, dict) else None
        if envelope is None:
            return  # acknowledged too late
        self.ack_times.append(time.monotonic() - envelope.at)
        if not envelope.answer.done():
            envelope.answer.set_result(found.get("payload"))

    # --- envelopes ---

    def _choose(self) -> Connection | None:
        open_ones = [c for c in self.connections if not c.socket.closed and not c.leaving]
        if not open_ones or self.faults.deaf:
            return None
        self._turn += 1
        return open_ones[self._turn % len(open_ones)]

    async def _connection(self, seconds: float) -> Connection | None:
        end = time.monotonic() + seconds
        while (connection := self._choose()) is None:
            left = end - time.monotonic()
            if left <= 0 or self.faults.deaf:
                return None
            self._arrived.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), left)
        return connection

    async def deliver(self, kind: str, payload: Json) -> Json | None:
        """Send one envelope and wait for its acknowledgement, whose payload is returned.

        `events_api` envelopes are sent again after each of `faults.retry_delays`; the other kinds once.
        Raises SlackError operation_timeout when nothing acknowledged it, dispatch_failed when
        there was no connection to send it on.
        """
        delays = (None, *self.faults.retry_delays) if kind == "events_api" else (None,)
        reason = ""
        for attempt, delay in enumerate(delays):
            if delay is not None:
                await asyncio.sleep(delay)
            try:
                return await self.send(kind, payload, attempt, reason)
            except SlackError as problem:
                reason = "timeout" if problem.code == "operation_timeout" else "connection_failed"
                failure = problem
                if self.faults.deaf:
                    break
        raise failure

    async def send(self, kind: str, payload: Json, attempt: int = 0, reason: str = "") -> Json | None:
        """One attempt of `deliver`."""
        timeout = self.faults.ack_seconds
        connection = await self._connection(timeout if kind == "events_api" else 0.0)
        if connection is None:
            raise SlackError("dispatch_failed")
        answer: asyncio.Future[Json | None] = asyncio.get_running_loop().create_future()
        envelope = Envelope(str(uuid.uuid4()), payload, connection, answer)
        self.envelopes[envelope.id] = envelope
        message: dict[str, Any] = {
            "envelope_id": envelope.id,
            "type": kind,
            "payload": payload,
            "accepts_response_payload": kind != "events_api",
        }
        if kind == "events_api":
            message |= {"retry_attempt": attempt, "retry_reason": reason}
        self.delivered.append((envelope, attempt))
        try:
            await connection.send(message)
            return await asyncio.wait_for(answer, timeout)
        except asyncio.TimeoutError:
            raise SlackError("operation_timeout") from None
        except ConnectionError:
            raise SlackError("dispatch_failed") from None
        finally:
            del self.envelopes[envelope.id]

    # --- what can be done to connections ---

    def drop(self) -> None:
        """Cut every connection's TCP."""
        for connection in list(self.connections):
            connection.cut()

    def go_half_open(self) -> None:
        """Every connection of now stays open and silent: no envelopes, no pongs, no acks heard."""
        for connection in self.connections:
            connection.half_open = True

    async def refresh(self, reason: str = "refresh_requested", close_after: float = 5.0) -> None:
        """Ask the app to connect anew; the old connections are closed some seconds later.

        With reason "warning" they stay in use until then, as Slack's do. What is under way is not cut
        off: `drop` does that.
        """
        old = list(self.connections)
        for connection in old:
            connection.leaving = reason != "warning"
            await connection.send({"type": "disconnect", "reason": reason, "debug_info": {"host": "sandbox"}})
        await asyncio.sleep(close_after)
        for connection in old:
            connection.leaving = True
        under_way = [e.answer for e in self.envelopes.values() if e.connection in old]
        if under_way:
            await asyncio.wait(under_way, timeout=self.faults.ack_seconds)
        for connection in old:
            await connection.socket.close()

    async def close(self) -> None:
        """Close what is open, because the sandbox stops."""
        for connection in list(self.connections):
            connection.half_open = False
            with contextlib.suppress(Exception):
                await asyncio.wait_for(connection.socket.close(), 1.0)
            connection.cut()

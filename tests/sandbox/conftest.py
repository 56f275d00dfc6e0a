"""One sandbox a test, with an app that may do everything, and Slack's own clients for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from patience import PATIENCE
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

from bot.sandbox import App, Sandbox


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A workspace whose app has every scope and hears every event, and may be slow to acknowledge."""
    async with Sandbox(manifest=App()) as opened:
        opened.faults.ack_seconds = PATIENCE
        yield opened


@pytest.fixture
def client(sandbox: Sandbox) -> AsyncWebClient:
    """Slack's own client; nothing but the address and the token is different."""
    return AsyncWebClient(token=sandbox.bot_token, base_url=sandbox.api_url)


class Listener:
    """Slack's own socket client, and all it received. With `acks` False it never acknowledges."""

    def __init__(self, sandbox: Sandbox, *, acks: bool = True, ping_interval: float = 5) -> None:
        self.acks = acks
        self.answer: dict[str, Any] | None = None
        self.requests: list[SocketModeRequest] = []
        web = AsyncWebClient(token=sandbox.bot_token, base_url=sandbox.api_url)
        self.client = SocketModeClient(sandbox.app_token, web_client=web, ping_interval=ping_interval)
        self.client.socket_mode_request_listeners.append(self._heard)

    async def _heard(self, client: Any, request: SocketModeRequest) -> None:
        self.requests.append(request)
        if self.acks:
            payload = self.answer if request.accepts_response_payload else None
            await client.send_socket_mode_response(SocketModeResponse(request.envelope_id, payload))

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events received, without their envelopes."""
        return [r.payload["event"] for r in self.requests if r.type == "events_api"]

    def kinds(self) -> list[str]:
        """`type` or `type/subtype` of each event received."""
        return ["/".join(filter(None, (e["type"], e.get("subtype")))) for e in self.events]


Listen = Callable[..., Awaitable[Listener]]


@pytest_asyncio.fixture
async def listen(sandbox: Sandbox) -> AsyncIterator[Listen]:
    """Connects one more socket client: `await listen(acks=…, ping_interval=…)`."""
    made: list[Listener] = []

    async def connect(**options: Any) -> Listener:
        listener = Listener(sandbox, **options)
        made.append(listener)
        before = sandbox.sockets.opened
        await listener.client.connect()
        await sandbox.wait_for(lambda: sandbox.sockets.opened > before)
        return listener

    yield connect
    for listener in made:
        await listener.client.close()


@pytest_asyncio.fixture
async def listener(listen: Listen) -> Listener:
    """A connected socket client that acknowledges everything."""
    return await listen()

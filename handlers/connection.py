"""The socket to Slack: started, watched and stopped."""

from __future__ import annotations

import logging

from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler

from config.settings import Settings
from handlers.app import BotApp

log = logging.getLogger(__name__)


class SlackConnection:
    """One app's connection. Requests that an earlier process left open are answered once it stands."""

    def __init__(self, app: BotApp, settings: Settings) -> None:
        self._app, self._settings = app, settings
        self._handler: AsyncSocketModeHandler | None = None

    @property
    def connected(self) -> bool:
        """Whether a socket stands over which Slack can be heard."""
        client = self._handler.client if self._handler else None
        session = client.current_session if client else None
        return bool(client and not client.closed and not client.stale and session and not session.closed)

    async def start(self) -> None:
        """Connect. Raises SlackApiError where Slack refuses the tokens."""
        await self._app.slack.identity()
        self._handler = AsyncSocketModeHandler(self._app, self._settings.slack_app_token)
        await self._handler.connect_async()  # type: ignore[no-untyped-call]  # the SDK types it not
        count = await self._app.slack.inbox.start()
        if count:
            log.info("%d requests were left open and are answered now", count)

    async def stop(self) -> None:
        """Hear nothing new, finish what is running, disconnect."""
        if self._handler is not None:
            await self._handler.client.disconnect()  # type: ignore[no-untyped-call]  # the SDK types it not
        await self._app.slack.inbox.stop()
        if self._handler is not None:
            await self._handler.close_async()  # type: ignore[no-untyped-call]  # the SDK types it not
            self._handler = None

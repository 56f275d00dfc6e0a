"""Who may use the bot: allowed people and teams; by default no guests and no strangers."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from slack_bolt import BoltResponse
from slack_bolt.async_app import AsyncApp

from handlers.context import Slack
from handlers.listened import Heard

log = logging.getLogger(__name__)

NOTICE_SECONDS = 3600.0  # a person is told at most this often
MOST_TOLD = 2_000


class Permissions:
    """Decides by the settings ALLOWED_USERS, ALLOWED_TEAMS and ALLOW_GUESTS, and by what Slack says."""

    def __init__(self, slack: Slack) -> None:
        self._slack = slack
        self._told: dict[str, float] = {}

    async def may(self, user: str, home: str = "") -> bool:
        """Whether this person may use the bot; `home` is their team as far as it is known."""
        settings = self._slack.services.settings
        identity = await self._slack.identity()
        if user == identity.user:
            return True
        if settings.allowed_users and user not in settings.allowed_users:
            return False
        teams = (identity.team, *settings.allowed_teams)
        if home and home not in teams:
            return False
        person = await self._slack.person(user)
        if not person.known:
            # Slack shows strangers to no app without the right scope: unknown people stay outside.
            log.warning("users.info says nothing of %s, so this person may not use the bot", user)
            return False
        if person.team and person.team not in teams:
            return False
        return settings.allow_guests or not person.is_guest

    async def refuse(self, heard: Heard) -> None:
        """Tell a person, politely and in private, that the bot may not answer them."""
        now = time.monotonic()
        if now - self._told.get(heard.user, -NOTICE_SECONDS) < NOTICE_SECONDS:
            return
        self._told[heard.user] = now
        while len(self._told) > MOST_TOLD:
            self._told.pop(next(iter(self._told)))
        words = await self._slack.words(heard.team, heard.user)
        await self._slack.whisper(heard.channel, heard.user, words("not_you"), heard.thread_ts)


def register(app: AsyncApp, slack: Slack) -> None:
    """Stand in front of every surface."""
    permissions = Permissions(slack)

    @app.middleware
    async def only_who_may(
        body: dict[str, Any], next: Callable[[], Awaitable[BoltResponse | None]]
    ) -> BoltResponse | None:
        heard = Heard.of(body)
        if heard is None or await permissions.may(heard.user, heard.home):
            return await next()
        if heard.aimed(await slack.identity()):
            await permissions.refuse(heard)
        return BoltResponse(status=200)

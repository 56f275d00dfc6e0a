"""What the handlers share: the services, the Web API client, the inbox, and who people are."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import Any

from slack_sdk.errors import SlackApiError

from bot.inbox import Inbox
from bot.services import Services
from bot.storage import StorageError, UserSettings
from handlers.calling import LimitedWebClient, is_passing
from handlers.language import Words, language_of

log = logging.getLogger(__name__)

PERSON_SECONDS = 600.0
MOST_PEOPLE = 5_000


@dataclass(frozen=True)
class Person:
    """Somebody in the workspace, as others see them."""

    id: str
    name: str
    locale: str | None = None
    is_bot: bool = False
    is_guest: bool = False
    team: str = ""  # the workspace this person belongs to
    known: bool = True  # False where Slack tells the bot nothing


@dataclass(frozen=True)
class Identity:
    """Who the bot is in the workspace."""

    team: str
    user: str
    bot: str
    name: str


@dataclass
class Slack:
    """One connection's shared parts."""

    services: Services
    client: LimitedWebClient
    inbox: Inbox
    refuses_streams_until: float = 0.0  # monotonic time; the workspace lets nothing be streamed before
    _people: dict[str, tuple[float, Person]] = field(default_factory=dict)
    _asking: dict[str, asyncio.Task[Person]] = field(default_factory=dict)
    known_identity: Identity | None = None

    async def identity(self) -> Identity:
        """The bot's own ids, asked once."""
        if self.known_identity is None:
            found = await self.client.auth_test()
            self.known_identity = Identity(found["team_id"], found["user_id"], found["bot_id"], found["user"])
        return self.known_identity

    async def person(self, user: str) -> Person:
        """Who `user` is; only the id is known of somebody that Slack tells nothing about."""
        known = self._people.get(user)
        if known and time.monotonic() - known[0] < PERSON_SECONDS:
            return known[1]
        asking = self._asking.get(user)
        if asking is None:  # one question to Slack serves all who wait for its answer
            asking = self._asking[user] = asyncio.ensure_future(self._ask_for(user))
            asking.add_done_callback(lambda _: self._asking.pop(user, None))
        return await asyncio.shield(asking)

    async def _ask_for(self, user: str) -> Person:
        try:
            found: dict[str, Any] = (await self.client.users_info(user=user, include_locale=True))["user"]
        except SlackApiError as problem:
            if is_passing(problem):
                raise
            log.warning("users.info: %s", problem.response.get("error"))
            return self._remember(Person(user, user, known=False))
        profile = found.get("profile", {})
        name = profile.get("display_name") or profile.get("real_name") or found.get("name") or user
        person = Person(
            user,
            " ".join(str(name).split()),
            found.get("locale"),
            bool(found.get("is_bot")),
            bool(found.get("is_restricted") or found.get("is_ultra_restricted") or found.get("is_stranger")),
            str(found.get("team_id") or ""),
        )
        return self._remember(person)

    def _remember(self, person: Person) -> Person:
        while len(self._people) >= MOST_PEOPLE:
            self._people.pop(next(iter(self._people)))
        self._people[person.id] = (time.monotonic(), person)
        return person

    async def words(self, team: str, user: str) -> Words:
        """The strings in this person's language: their own choice, else Slack's locale."""
        try:
            chosen = await self.services.storage.settings(user_key(team, user))
        except StorageError:  # an apology must be possible without the database
            chosen = UserSettings()
        return Words(chosen.language or language_of((await self.person(user)).locale))

    def allowed(self, channel: str) -> bool:
        """Whether the bot may answer in this channel; direct messages are always allowed."""
        allowed = self.services.settings.allowed_channels
        return not allowed or channel.startswith("D") or channel in allowed

    async def whisper(self, channel: str, user: str, text: str, thread_ts: str | None = None) -> None:
        """Say something that only `user` sees; where the bot may not, it is only logged."""
        try:
            await self.client.chat_postEphemeral(channel=channel, user=user, text=text, thread_ts=thread_ts)
        except SlackApiError as problem:
            log.warning("chat.postEphemeral: %s", problem.response.get("error"))


def user_key(team: str, user: str) -> str:
    """A person's key in the database."""
    return f"{team}:{user}"


def thread_key(team: str, channel: str, ts: str) -> str:
    """A thread's key in the database and for the engine's cache."""
    return f"slack:{team}:{channel}:{ts}"

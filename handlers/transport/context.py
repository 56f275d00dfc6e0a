"""What the handlers share: the services, the Web API client, the inbox, who people are, and keys."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cachetools import TTLCache
from slack_sdk.errors import SlackApiError

from bot.app.services import Services
from bot.inbox import Inbox
from bot.storage import StorageError, UserSettings
from config.strings import Strings, language_of_locale
from handlers.transport.slack_errors import error_code, is_transient
from handlers.transport.web_client import RateLimitedWebClient

log = logging.getLogger(__name__)

PERSON_SECONDS = 600.0
MOST_PEOPLE = 5_000


@dataclass(frozen=True)
class Person:
    """Somebody in the workspace, as others see them."""

    id: str
    name: str
    locale: str | None = None
    is_guest: bool = False
    team: str = ""  # the workspace this person belongs to
    known: bool = True  # False where Slack does not show them to the bot


@dataclass(frozen=True)
class Identity:
    """Who the bot is in the workspace."""

    team: str
    user: str
    bot: str
    name: str


@dataclass
class SlackContext:
    """One connection's shared parts."""

    services: Services
    client: RateLimitedWebClient
    inbox: Inbox
    refuses_streams_until: float = 0.0  # monotonic time; the workspace lets nothing be streamed before
    known_identity: Identity | None = None
    _people: TTLCache[str, Person] = field(default_factory=lambda: TTLCache(MOST_PEOPLE, PERSON_SECONDS))
    _heard: TTLCache[str, Person] = field(default_factory=lambda: TTLCache(MOST_PEOPLE, PERSON_SECONDS))
    _lookups: dict[str, asyncio.Task[Person]] = field(default_factory=dict)

    async def identity(self) -> Identity:
        """The bot's own ids, asked once."""
        if self.known_identity is None:
            found = await self.client.auth_test()
            self.known_identity = Identity(found["team_id"], found["user_id"], found["bot_id"], found["user"])
        return self.known_identity

    def hear(self, person: Person) -> None:
        """Note what an event says of somebody, in case Slack's lookup says nothing of them."""
        self._heard[person.id] = person
        known = self._people.get(person.id)
        if known is not None and not known.known:
            self._people[person.id] = person

    async def person(self, user: str) -> Person:
        """Who `user` is; of somebody whom Slack does not show, only what events said is known."""
        known = self._people.get(user)
        if known is not None:
            return known
        lookup = self._lookups.get(user)
        if lookup is None:  # one call to Slack serves all who wait for it
            lookup = self._lookups[user] = asyncio.ensure_future(self._look_up(user))
            lookup.add_done_callback(lambda _: self._lookups.pop(user, None))
        return await asyncio.shield(lookup)

    async def _look_up(self, user: str) -> Person:
        try:
            found: dict[str, Any] = (await self.client.users_info(user=user, include_locale=True))["user"]
        except SlackApiError as problem:
            if is_transient(problem):
                raise
            log.warning("users.info: %s", error_code(problem))
            person = self._heard.get(user) or Person(user, user, known=False)
        else:
            person = _person(user, found)
        self._people[user] = person
        return person

    async def strings(self, team: str, user: str) -> Strings:
        """The strings in this person's language: their own choice, else Slack's locale."""
        try:
            chosen = await self.services.storage.settings(user_key(team, user))
        except StorageError:  # an apology must be possible without the database
            chosen = UserSettings()
        return Strings(chosen.language or language_of_locale((await self.person(user)).locale))

    def allowed(self, channel: str) -> bool:
        """Whether the bot may answer in this channel; direct messages are always allowed."""
        allowed = self.services.settings.allowed_channels
        return not allowed or channel.startswith("D") or channel in allowed

    async def post_ephemeral(self, channel: str, user: str, text: str, thread_ts: str | None = None) -> None:
        """As `show`; where it cannot be shown, it is only logged."""
        try:
            await self.show(channel, user, text, thread_ts=thread_ts)
        except SlackApiError as problem:
            log.warning("a notice could not be shown: %s", error_code(problem))

    async def show(
        self,
        channel: str,
        user: str,
        text: str,
        content: Sequence[dict[str, Any]] | None = None,
        thread_ts: str | None = None,
    ) -> None:
        """Show something to `user` alone: in the channel, or as a direct message where the bot is not in it.

        Raises SlackApiError where neither can be done.
        """
        blocks = list(content) if content else None
        try:
            await self.client.chat_postEphemeral(
                channel=channel, user=user, text=text, blocks=blocks, thread_ts=thread_ts
            )
        except SlackApiError as problem:
            if is_transient(problem):
                raise
            log.info("chat.postEphemeral: %s; it becomes a direct message", error_code(problem))
            opened = await self.client.conversations_open(users=user)
            await self.client.chat_postMessage(
                channel=opened["channel"]["id"],
                text=text,
                blocks=blocks,
                unfurl_links=False,
                unfurl_media=False,
            )


def _person(user: str, found: dict[str, Any]) -> Person:
    """A person from what users.info says."""
    profile = found.get("profile", {})
    name = profile.get("display_name") or profile.get("real_name") or found.get("name") or user
    return Person(
        user,
        " ".join(str(name).split()),
        found.get("locale"),
        is_guest(found),
        str(found.get("team_id") or ""),
    )


def is_guest(found: Mapping[str, Any]) -> bool:
    """Whether what Slack says of a person makes them a guest of their workspace."""
    return bool(found.get("is_restricted") or found.get("is_ultra_restricted"))


def user_key(team: str, user: str) -> str:
    """A person's key in the database."""
    return f"{team}:{user}"


def thread_key(team: str, channel: str, ts: str) -> str:
    """A thread's key in the database and for the engine's cache."""
    return f"slack:{team}:{channel}:{ts}"


def message_key(team: str, channel: str, ts: str) -> str:
    """The key of the request that a message makes: one, in however many events it is delivered."""
    return f"message:{team}:{channel}:{ts}"

"""Who may use the bot: allowed people and teams; by default no guests and no strangers."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from cachetools import TTLCache
from slack_bolt import BoltResponse
from slack_bolt.async_app import AsyncApp

from handlers.formatting.message_markup import body_markup
from handlers.formatting.readable import names_bot
from handlers.transport.context import Identity, Person, SlackContext, is_guest

log = logging.getLogger(__name__)

NOTICE_SECONDS = 3600.0  # a person is told at most this often
MOST_TOLD = 2_000


@dataclass(frozen=True)
class Interaction:
    """One event, command, shortcut or button press: who it comes from, where, and whether it is for the bot.

    team: the workspace the bot is installed in. home: the team that the person belongs to, "" where
    Slack does not say. channel: where an ephemeral message can be shown; the person's id where none is given.
    """

    team: str
    home: str
    user: str
    channel: str
    thread_ts: str | None
    text: str
    kind: str  # message, app_mention or another event's type; command, press, shortcut or view
    said: Person  # who it comes from, as far as the envelope itself says

    @classmethod
    def of(cls, body: dict[str, Any]) -> Interaction | None:
        """What the body of an envelope says; None for what no person did."""
        if event := body.get("event"):
            return cls._of_event(body, event)
        if body.get("command"):
            team, user = body["team_id"], body["user_id"]
            said = _said(user, body.get("user_name"), "")
            return cls(team, "", user, body["channel_id"], None, body.get("text") or "", "command", said)
        person, team = body.get("user") or {}, body.get("team") or {}
        if not person.get("id") or not team.get("id"):
            return None
        channel = (body.get("channel") or {}).get("id") or person["id"]
        thread_ts = (body.get("message") or {}).get("thread_ts")
        kinds = {"block_actions": "press", "message_action": "shortcut"}
        kind = kinds.get(body.get("type", ""), "view")
        home = person.get("team_id") or ""
        said = _said(person["id"], person.get("name") or person.get("username"), home)
        return cls(team["id"], home, person["id"], channel, thread_ts, "", kind, said)

    @classmethod
    def _of_event(cls, body: dict[str, Any], event: dict[str, Any]) -> Interaction | None:
        pane = event.get("assistant_thread") or {}
        user = event.get("user") or pane.get("user_id")
        if not isinstance(user, str) or event.get("bot_id"):
            return None
        home = event.get("user_team") or event.get("source_team") or event.get("team") or ""
        channel = event.get("channel") or pane.get("channel_id") or user
        text = body_markup(event)
        thread_ts = event.get("thread_ts") or pane.get("thread_ts")
        profile = event.get("user_profile") or {}  # in channels shared with another workspace
        name = profile.get("display_name") or profile.get("real_name") or profile.get("name")
        said = _said(user, name, home, is_guest(profile))
        return cls(body["team_id"], home, user, channel, thread_ts, text, event["type"], said)

    def is_for_bot(self, me: Identity | None) -> bool:
        """Whether the person wants something of the bot, as far as this alone tells."""
        if self.kind == "message":
            return self.channel.startswith("D") or bool(me and names_bot(self.text, me.user))
        return self.kind in ("app_mention", "command", "press", "shortcut", "assistant_thread_started")


def _said(user: str, name: object, team: str, guest: bool = False) -> Person:
    """A person as an envelope names them."""
    return Person(user, " ".join(str(name or user).split()), is_guest=guest, team=team, known=False)


class Permissions:
    """Decides by the settings ALLOWED_USERS, ALLOWED_TEAMS and ALLOW_GUESTS, and by what Slack says."""

    def __init__(self, slack: SlackContext) -> None:
        self._slack = slack
        self._told: TTLCache[str, bool] = TTLCache(MOST_TOLD, NOTICE_SECONDS)  # by person

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
            # Slack may show an app nothing of people who share a channel: then their team, which the
            # event says, has to be one that was named. Whether somebody here is a guest is not known.
            if home in settings.allowed_teams:
                return settings.allow_guests or not person.is_guest
            log.warning("users.info says nothing of %s, so this person may not use the bot", user)
            return False
        if person.team and person.team not in teams:
            return False
        return settings.allow_guests or not person.is_guest

    async def refuse(self, interaction: Interaction) -> None:
        """Tell a person, politely and in private, that the bot may not answer them."""
        if interaction.user in self._told:
            return
        self._told[interaction.user] = True
        strings = await self._slack.strings(interaction.team, interaction.user)
        await self._slack.post_ephemeral(
            interaction.channel, interaction.user, strings("not_you"), interaction.thread_ts
        )


def register(app: AsyncApp, slack: SlackContext) -> None:
    """Check every envelope ahead of every listener."""
    permissions = Permissions(slack)

    @app.middleware
    async def only_who_may(
        body: dict[str, Any], next: Callable[[], Awaitable[BoltResponse | None]]
    ) -> BoltResponse | None:
        interaction = Interaction.of(body)
        if interaction is not None:
            slack.hear(interaction.said)
        if interaction is None or await permissions.may(interaction.user, interaction.home):
            return await next()
        if interaction.is_for_bot(await slack.identity()):
            await permissions.refuse(interaction)
        return BoltResponse(status=200)

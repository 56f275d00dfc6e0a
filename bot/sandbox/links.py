"""What the app may answer at later: response_urls, and the trigger_ids that open a modal."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from bot.sandbox.errors import SlackError

LINK_USES = 5
LINK_SECONDS = 30 * 60.0
TRIGGER_SECONDS = 3.0


@dataclass
class Link:
    """A response_url: where it answers, and which message it may replace."""

    user: str
    channel: str
    made: float
    message_ts: str = ""
    ephemeral: bool = False
    thread_ts: str = ""
    uses: int = 0


@dataclass
class Links:
    """The response_urls and trigger_ids that were given out."""

    links: dict[str, Link] = field(default_factory=dict)
    triggers: dict[str, tuple[str, float]] = field(default_factory=dict)  # user, time
    spent: set[str] = field(default_factory=set)

    def add(self, link: Link) -> str:
        """The name under which a response_url leads to `link`."""
        name = secrets.token_urlsafe(18)
        self.links[name] = link
        return name

    def use(self, name: str, now: float) -> Link:
        """Count one answer at a response_url. Raises SlackError expired_url, used_url."""
        link = self.links.get(name)
        if link is None or now - link.made > LINK_SECONDS:
            raise SlackError("expired_url")
        if link.uses >= LINK_USES:
            raise SlackError("used_url")
        link.uses += 1
        return link

    def trigger(self, user: str, now: float) -> str:
        """A trigger_id: opens one modal within three seconds."""
        name = f"{secrets.randbelow(10**12)}.{secrets.randbelow(10**12)}.{secrets.token_hex(8)}"
        self.triggers[name] = (user, now)
        return name

    def exchange(self, trigger: str, now: float) -> str:
        """Use up a trigger; who made it. Raises SlackError as views.open does."""
        if trigger in self.spent:
            raise SlackError("exchanged_trigger_id")
        if trigger not in self.triggers:
            raise SlackError("invalid_trigger_id")
        user, made = self.triggers.pop(trigger)
        self.spent.add(trigger)
        if now - made > TRIGGER_SECONDS:
            raise SlackError("expired_trigger_id")
        return user

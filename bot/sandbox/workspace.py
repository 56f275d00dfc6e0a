"""The state of the workspace, in memory: people, channels, messages, views. It knows no HTTP."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from bot.sandbox.errors import SlackError

Json = dict[str, Any]

TEAM_ID = "T0SANDBOX1"
TEAM_DOMAIN = "sandbox"
APP_ID = "A0SANDBOX1"
BOT_USER_ID = "UBOT000001"
BOT_ID = "B0BOT00001"
SLACKBOT_ID = "USLACKBOT"


@dataclass
class User:
    """A person, or the bot's own user."""

    id: str
    name: str
    real_name: str
    locale: str = "en-US"
    tz: str = "Europe/London"
    is_bot: bool = False
    is_guest: bool = False
    team: str = TEAM_ID  # another team's id: a stranger, here through Slack Connect


@dataclass
class Channel:
    """A channel, a group direct message, or with `user` set that person's direct message with the bot."""

    id: str
    name: str
    user: str = ""
    members: set[str] = field(default_factory=set)
    messages: dict[str, Json] = field(default_factory=dict)  # by ts, in order of ts
    topic: str = ""
    private: bool = False
    is_mpim: bool = False
    archived: bool = False

    @property
    def is_im(self) -> bool:
        """Whether this is a direct message."""
        return bool(self.user)

    @property
    def kind(self) -> str:
        """The channel_type of events: im, mpim, group or channel."""
        if self.is_im:
            return "im"
        return "mpim" if self.is_mpim else "group" if self.private else "channel"


@dataclass
class Ephemeral:
    """A message that one person sees and that no history has."""

    user: str
    channel: str
    message: Json


@dataclass
class StoredFile:
    """A file: `data` is None until it was uploaded, and it is nowhere until it was shared."""

    id: str
    name: str
    length: int
    title: str = ""
    alt_txt: str = ""
    data: bytes | None = None
    shared: bool = False


@dataclass
class Pane:
    """What the app has set on one assistant thread."""

    user: str
    title: str = ""
    prompts_title: str = ""
    prompts: list[Json] = field(default_factory=list)


@dataclass(frozen=True)
class Change:
    """Something a person could see has changed. `user` limits it to one person; "" is everybody."""

    kind: str
    channel: str
    data: Json
    user: str = ""


class Workspace:
    """Everything the sandbox remembers, and who waits for it to change."""

    def __init__(self, bot_name: str = "Bot", clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.users: dict[str, User] = {}
        self.channels: dict[str, Channel] = {}
        self.ephemerals: list[Ephemeral] = []
        self.homes: dict[str, Json] = {}
        self.modals: dict[str, tuple[str, Json]] = {}  # by view id: the user who sees it, the view
        self.files: dict[str, StoredFile] = {}
        self.panes: dict[tuple[str, str], Pane] = {}
        self.statuses: dict[tuple[str, str], tuple[str, float]] = {}  # text, and when it was set
        self.streams: set[tuple[str, str]] = set()
        self._last_ts = 0
        self._listeners: list[Callable[[Change], None]] = []
        self._waiting: set[asyncio.Event] = set()
        self._add_people_and_channels(bot_name)

    def _add_people_and_channels(self, bot_name: str) -> None:
        people = [
            User("UADA000001", "ada", "Ada", "en-US"),
            User("UXIAOLIN01", "xiaolin", "小林", "zh-CN", "Asia/Shanghai"),
            User("UBO0000001", "bo", "Bo", "en-GB"),
            User(BOT_USER_ID, bot_name.lower().replace(" ", "_"), bot_name, is_bot=True),
        ]
        self.users = {user.id: user for user in people}
        humans = {user.id for user in people if not user.is_bot}
        self.channels["C0GENERAL1"] = Channel(
            "C0GENERAL1", "general", members={*humans, BOT_USER_ID}, topic="Where everybody is"
        )
        self.channels["C0RANDOM01"] = Channel(
            "C0RANDOM01", "random", members=set(humans), topic="The bot is not here: invite it"
        )
        for user in people[:3]:
            self.open_im(user.id)

    # --- looking things up ---

    def channel(self, name: str) -> Channel:
        """A channel by id, `name` or `#name`. Raises SlackError channel_not_found."""
        found = self.channels.get(name)
        if found is None:
            plain = name.removeprefix("#")
            found = next((c for c in self.channels.values() if not c.is_im and c.name == plain), None)
        if found is None:
            raise SlackError("channel_not_found")
        return found

    def user(self, name: str) -> User:
        """A user by id, name or real name. Raises SlackError user_not_found."""
        found = self.users.get(name)
        if found is None:
            found = next((u for u in self.users.values() if name in (u.name, u.real_name)), None)
        if found is None:
            raise SlackError("user_not_found")
        return found

    def open_im(self, user: str) -> Channel:
        """The direct message between `user` and the bot, made on the first call."""
        for channel in self.channels.values():
            if channel.user == user:
                return channel
        channel = Channel(f"D{user[1:]}", "directmessage", user=user, members={user, BOT_USER_ID})
        self.channels[channel.id] = channel
        return channel

    def open_mpim(self, users: set[str]) -> Channel:
        """The group direct message between `users` and the bot, made on the first call."""
        members = {*users, BOT_USER_ID}
        for channel in self.channels.values():
            if channel.is_mpim and channel.members == members:
                return channel
        names = [
            *sorted(self.users[user].name for user in members - {BOT_USER_ID}),
            self.users[BOT_USER_ID].name,
        ]
        channel = Channel(self.new_id("C"), f"mpdm-{'--'.join(names)}-1", members=members, is_mpim=True)
        self.channels[channel.id] = channel
        self.changed("channels")
        return channel

    def message(self, channel: Channel, ts: str) -> Json:
        """One message. Raises SlackError message_not_found."""
        found = channel.messages.get(ts)
        if found is None:
            raise SlackError("message_not_found")
        return found

    def thread(self, channel: Channel, ts: str) -> list[Json]:
        """A parent and its replies, oldest first; one message when `ts` has no thread; [] when unknown."""
        return [m for m in channel.messages.values() if m["ts"] == ts or m.get("thread_ts") == ts]

    def top_level(self, channel: Channel) -> Iterator[Json]:
        """The messages that stand in the channel itself, oldest first."""
        for message in channel.messages.values():
            if message.get("thread_ts", message["ts"]) == message["ts"] or message.get("subtype") == (
                "thread_broadcast"
            ):
                yield message

    def modal(self, user: str) -> Json | None:
        """The modal that a person (by id) sees, the newest one."""
        return next((view for who, view in reversed(self.modals.values()) if who == user), None)

    # --- names and times ---

    def new_ts(self) -> str:
        """A message's time and name: unique in the workspace and always later than the last."""
        micros = max(int(self.clock() * 1_000_000), self._last_ts + 1)
        self._last_ts = micros
        return f"{micros // 1_000_000}.{micros % 1_000_000:06d}"

    def new_id(self, prefix: str) -> str:
        """An id as Slack makes them: a letter or two, then capitals and digits."""
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
        return prefix + "0" + "".join(secrets.choice(alphabet) for _ in range(9))

    # --- being told of changes ---

    def changed(self, kind: str, channel: str = "", data: Json | None = None, user: str = "") -> None:
        """Tell the pages and wake who waits."""
        change = Change(kind, channel, data or {}, user)
        for listener in list(self._listeners):
            listener(change)
        for event in self._waiting:
            event.set()

    def subscribe(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Have `listener` called at every change; returns how to end that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def wait_for(self, predicate: Callable[[], Any], timeout: float) -> Any:
        """The first true value of `predicate`, tried now and at each change.

        Raises TimeoutError after `timeout` seconds.
        """
        event = asyncio.Event()
        self._waiting.add(event)
        try:
            end = time.monotonic() + timeout
            while True:
                event.clear()
                if value := predicate():
                    return value
                left = end - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"still not so after {timeout:g} s")
                # Some predicates look at things outside the workspace: try those again now and then.
                await asyncio.wait([waiter := asyncio.ensure_future(event.wait())], timeout=min(left, 0.25))
                waiter.cancel()
        finally:
            self._waiting.discard(event)

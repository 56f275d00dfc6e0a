"""What people do in the workspace. The page's HTTP calls and the tests both come through here."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from bot.sandbox import events, interactive, limits, messages
from bot.sandbox.context import Context
from bot.sandbox.errors import SlackError
from bot.sandbox.links import Link
from bot.sandbox.methods.files import file_object
from bot.sandbox.rich_text import as_stored, rich_text
from bot.sandbox.workspace import SLACKBOT_ID, TEAM_ID, Channel, Json, Pane, StoredFile, User
from config.strings import Strings, language_of_locale


class Driver:
    """Acts as people would. Users and channels are given by id or by name (`Ada`, `general`).

    Raises SlackError with Slack's name where Slack would not let a person do it.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.workspace = context.workspace

    def _member(self, user: str, channel: str) -> tuple[User, Channel]:
        """A person and a channel that person is in."""
        who, where = self.workspace.user(user), self.workspace.channel(channel)
        if who.id not in where.members:
            raise SlackError("not_in_channel")
        return who, where

    # --- messages ---

    async def post(
        self,
        user: str,
        channel: str,
        text: str,
        thread_ts: str | None = None,
        *,
        files: Sequence[str] = (),
        broadcast: bool = False,
    ) -> str:
        """Type and send `text`; returns its ts. `files` are names of files attached to it."""
        who, where = self._member(user, channel)
        if where.is_im and not self.context.app.messages_tab:
            raise SlackError("messages_tab_disabled")
        if not text.strip() and not files:
            raise SlackError("no_text")
        message = self._message(who, text)
        if files:
            message["subtype"] = "file_share"
            message["files"] = [self._file(name, who.id) for name in files]
        elif broadcast and thread_ts:
            message["subtype"] = "thread_broadcast"
        messages.post(self.context, where, message, thread_ts)
        return str(message["ts"])

    async def post_app(
        self,
        app: str,
        channel: str,
        text: str = "",
        thread_ts: str | None = None,
        *,
        blocks: list[Json] | None = None,
        attachments: list[Json] | None = None,
    ) -> str:
        """Another app, named `app`, says something, as an incoming webhook does; returns its ts."""
        if not (text or blocks or attachments):
            raise SlackError("no_text")
        message: Json = {
            "type": "message",
            "subtype": "bot_message",
            "ts": self.workspace.new_ts(),
            "bot_id": self.workspace.new_id("B"),
            "username": app,
            "text": text,
        }
        if blocks:
            checked = limits.check_blocks(blocks)
            message["blocks"] = interactive.number_blocks(self.workspace.new_id, checked)
        if attachments:
            message["attachments"] = attachments
        messages.post(self.context, self.workspace.channel(channel), message, thread_ts)
        return str(message["ts"])

    async def edit(self, user: str, channel: str, ts: str, text: str) -> None:
        """Change one's own message."""
        who, where = self._member(user, channel)
        self._own(who, where, ts, "cant_update_message")
        stored = as_stored(self.workspace, text)
        messages.change(
            self.context,
            where,
            ts,
            text=stored,
            blocks=rich_text(stored, self.workspace.new_id("")[:5]),
            edited={"user": who.id, "ts": self.workspace.new_ts()},
        )

    async def delete(self, user: str, channel: str, ts: str) -> None:
        """Remove one's own message."""
        who, where = self._member(user, channel)
        self._own(who, where, ts, "cant_delete_message")
        messages.remove(self.context, where, ts)

    async def react(self, user: str, channel: str, ts: str, emoji: str) -> None:
        """Put an emoji on a message, or take one's own back."""
        who, where = self._member(user, channel)
        message = self.workspace.message(where, ts)
        try:
            messages.react(self.context, where, message, who.id, emoji)
        except SlackError as problem:
            if problem.code != "already_reacted":
                raise
            messages.unreact(self.context, where, message, who.id, emoji)

    async def join(self, user: str, channel: str, inviter: str = "") -> None:
        """Come into a channel; with the bot's id as `user`, invite the bot."""
        invited_by = self.workspace.user(inviter).id if inviter else ""
        messages.join(self.context, self.workspace.channel(channel), self.workspace.user(user).id, invited_by)

    def add_user(self, name: str, *, locale: str = "en-US", guest: bool = False, team: str = TEAM_ID) -> str:
        """Bring in another person, into #general; with another `team`'s id a Slack Connect stranger."""
        who = User(self.workspace.new_id("U"), name.lower(), name, locale, is_guest=guest, team=team)
        self.workspace.users[who.id] = who
        self.workspace.channel("general").members.add(who.id)
        self.workspace.open_im(who.id)
        self.workspace.changed("channels")
        return who.id

    def add_channel(self, name: str, members: Sequence[str], *, private: bool = False) -> str:
        """Make a channel with these people in it; name the bot's id too where it shall be."""
        ids = {self.workspace.user(member).id for member in members}
        made = Channel(self.workspace.new_id("C"), name, members=ids, private=private)
        self.workspace.channels[made.id] = made
        self.workspace.changed("channels")
        return made.id

    def archive(self, channel: str) -> None:
        """Close a channel for good: nobody writes there any more."""
        self.workspace.channel(channel).archived = True
        self.workspace.changed("channels")

    def remove(self, user: str, channel: str) -> None:
        """Take a person, or the bot by its id, out of a channel."""
        self.workspace.channel(channel).members.discard(self.workspace.user(user).id)
        self.workspace.changed("channels")

    def delete_channel(self, channel: str) -> None:
        """Delete a channel with all that was said there."""
        del self.workspace.channels[self.workspace.channel(channel).id]
        self.workspace.changed("channels")

    # --- commands, shortcuts, buttons ---

    async def command(self, user: str, channel: str, command: str, text: str = "") -> str:
        """Type a slash command; returns its trigger_id. Slackbot says so when the app does not answer."""
        who, where = self._member(user, channel)
        if not self.context.app.knows(command):
            raise SlackError("unknown_command")
        stored = as_stored(self.workspace, text.strip())
        payload = interactive.command_payload(self.context, who, where, command, stored)
        link = Link(who.id, where.id, self.workspace.clock())
        self.context.deliver(self._send("slash_commands", payload, command, who, where, link))
        return str(payload["trigger_id"])

    async def shortcut(self, user: str, callback_id: str, channel: str, ts: str) -> str:
        """Choose a message shortcut from a message's menu; returns its trigger_id."""
        who, where = self._member(user, channel)
        known = [name for name, _ in self.context.app.shortcuts]
        if known and callback_id not in known:
            raise SlackError("unknown_shortcut")
        message = self._visible(who, where, ts)
        payload = interactive.shortcut_payload(self.context, who, where, message, callback_id)
        self.context.deliver(self._send("interactive", payload, callback_id, who, where))
        return str(payload["trigger_id"])

    async def press(self, user: str, channel: str, ts: str, action_id: str, value: Any = None) -> str:
        """Press a button of a message, ephemeral ones too; `value` picks an option of a menu."""
        who, where = self._member(user, channel)
        message = self._visible(who, where, ts)
        action = interactive.find_action(message.get("blocks", []), action_id, value, self.workspace.new_ts())
        payload = interactive.message_actions_payload(self.context, who, where, message, action)
        self.context.deliver(self._send("interactive", payload, action_id, who, where))
        return str(payload["trigger_id"])

    async def press_view(self, user: str, view_id: str, action_id: str, value: Any = None) -> str:
        """Press a button of the Home tab (`view_id` may be "home") or of a modal."""
        who = self.workspace.user(user)
        view = self._view(who, view_id)
        action = interactive.find_action(view["blocks"], action_id, value, self.workspace.new_ts())
        payload = interactive.view_actions_payload(self.context, who, view, action)
        self.context.deliver(self._send("interactive", payload, action_id, who))
        return str(payload["trigger_id"])

    async def submit(self, user: str, view_id: str, values: Json | None = None) -> None:
        """Press a modal's submit button; `values` is view.state.values. The app's answer is carried out."""
        who = self.workspace.user(user)
        view = {**self._view(who, view_id), "state": {"values": values or {}}}
        payload = interactive.submission_payload(self.context, who, view, "view_submission")
        answer = await self._send("interactive", payload, "submit", who)
        action = (answer or {}).get("response_action", "clear")
        if action == "update":
            made = {**view, **(answer or {})["view"], "id": view_id}
            self.workspace.modals[view_id] = (who.id, made)
            self.workspace.changed("modal", "", made, who.id)
        elif action == "errors":
            errors = {"id": view_id, "errors": (answer or {}).get("errors", {})}
            self.workspace.changed("modal_errors", "", errors, who.id)
        else:
            self._close_view(who, view_id)

    async def close_view(self, user: str, view_id: str) -> None:
        """Close a modal without submitting it."""
        who = self.workspace.user(user)
        view = self._view(who, view_id)
        self._close_view(who, view_id)
        if view.get("notify_on_close"):
            payload = interactive.submission_payload(self.context, who, view, "view_closed")
            self.context.deliver(self._send("interactive", payload, "close", who))

    # --- the app's own places ---

    async def open_home(self, user: str, tab: str = "home") -> None:
        """Look at the app's Home tab (or its messages)."""
        who = self.workspace.user(user)
        events.home_opened(self.context, who.id, tab, self.workspace.homes.get(who.id))

    async def open_assistant(self, user: str, viewed_channel: str = "") -> str:
        """Open a new assistant thread while looking at a channel; returns its thread_ts."""
        if not self.context.app.assistant:
            raise SlackError("not_enabled")
        who = self.workspace.user(user)
        channel = self.workspace.open_im(who.id)
        viewed = self.workspace.channel(viewed_channel).id if viewed_channel else ""
        root = messages.bot_message(self.context, "New Assistant Thread", subtype="assistant_app_thread")
        title = _strings(who)("sandbox_new_conversation")
        root |= {
            "thread_ts": root["ts"],
            "assistant_app_thread": {"title": title, "title_blocks": [], "artifacts": []},
        }
        channel.messages[root["ts"]] = root
        prompts = [{"title": title, "message": text} for title, text in self.context.app.prompts]
        self.workspace.panes[(channel.id, root["ts"])] = Pane(who.id, prompts=prompts)
        messages.tell(self.context, channel, root)
        events.assistant_thread_event(self.context, "assistant_thread_started", who.id, root["ts"], viewed)
        return str(root["ts"])

    async def look_at(self, user: str, thread_ts: str, channel: str) -> None:
        """Look at another channel while an assistant thread is open."""
        who, viewed = self.workspace.user(user), self.workspace.channel(channel)
        name = "assistant_thread_context_changed"
        events.assistant_thread_event(self.context, name, who.id, thread_ts, viewed.id)

    # --- within ---

    async def _send(
        self,
        kind: str,
        payload: Json,
        what: str,
        who: User,
        where: Channel | None = None,
        link: Link | None = None,
    ) -> Json | None:
        try:
            answer = await self.context.sockets.deliver(kind, payload)
            if link is not None and answer:
                interactive.respond(self.context, link, answer)
            return answer
        except SlackError as problem:
            failed = _strings(who)("sandbox_app_failed", what=what, code=problem.code)
            self.say(who.id, where, failed)
            return None

    def say(self, user: str, channel: Channel | None, text: str) -> None:
        """Tell one person something in Slack's own name."""
        if channel is None:
            self.workspace.changed("notice", "", {"text": text}, user)
            return
        message = {"type": "message", "user": SLACKBOT_ID, "ts": self.workspace.new_ts(), "text": text}
        messages.post_ephemeral(self.context, channel, user, message)

    def _message(self, who: User, typed: str) -> Json:
        stored = as_stored(self.workspace, typed)
        shared: Json = {}
        if who.team != TEAM_ID:  # as in channels shared over Slack Connect
            profile = {"real_name": who.real_name, "display_name": who.real_name, "name": who.name}
            guest = {"team": who.team, "is_restricted": who.is_guest, "is_ultra_restricted": False}
            shared = {"user_team": who.team, "source_team": who.team, "user_profile": {**profile, **guest}}
        return {
            **shared,
            "type": "message",
            "client_msg_id": str(uuid.uuid4()),
            "user": who.id,
            "text": stored,
            "team": who.team,
            "ts": self.workspace.new_ts(),
            "blocks": rich_text(stored, self.workspace.new_id("")[:5]),
        }

    def _file(self, name: str, user: str) -> Json:
        stored = StoredFile(self.workspace.new_id("F"), name, 0, data=b"", shared=True)
        self.workspace.files[stored.id] = stored
        return file_object(self.context, stored, user)

    def _own(self, who: User, where: Channel, ts: str, refusal: str) -> Json:
        message = self.workspace.message(where, ts)
        if message.get("user") != who.id:
            raise SlackError(refusal)
        return message

    def _visible(self, who: User, where: Channel, ts: str) -> Json:
        """A message in the channel, or one that only this person sees."""
        for ephemeral in self.workspace.ephemerals:
            if (ephemeral.user, ephemeral.channel, ephemeral.message["ts"]) == (who.id, where.id, ts):
                return ephemeral.message
        return self.workspace.message(where, ts)

    def _view(self, who: User, view_id: str) -> Json:
        home = self.workspace.homes.get(who.id)
        if home is not None and view_id in ("home", home["id"]):
            return home
        user, view = self.workspace.modals.get(view_id, ("", {}))
        if user != who.id:
            raise SlackError("not_found")
        return view

    def _close_view(self, who: User, view_id: str) -> None:
        self.workspace.modals.pop(view_id, None)
        self.workspace.changed("modal_closed", "", {"id": view_id}, who.id)


def _strings(who: User) -> Strings:
    """What Slack itself says to a person, in that person's language."""
    return Strings(language_of_locale(who.locale))

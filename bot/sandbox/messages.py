"""Messages posted, changed, removed and reacted to; each change is told to the pages and the app."""

from __future__ import annotations

import copy
import re
from typing import Any

from bot.sandbox import events
from bot.sandbox.context import Context
from bot.sandbox.errors import SlackError
from bot.sandbox.workspace import APP_ID, BOT_ID, BOT_USER_ID, SLACKBOT_ID, TEAM_ID, Channel, Ephemeral, Json

STATUS_SECONDS = 120.0


def bot_message(context: Context, text: str, **fields: Any) -> Json:
    """A message by the app, not yet posted. Fields that are None or "" are left out."""
    message: Json = {
        "type": "message",
        "user": BOT_USER_ID,
        "ts": context.workspace.new_ts(),
        "bot_id": BOT_ID,
        "app_id": APP_ID,
        "text": text,
        "team": TEAM_ID,
        "bot_profile": bot_profile(context),
    }
    message.update({key: value for key, value in fields.items() if value not in (None, "")})
    return message


def bot_profile(context: Context) -> Json:
    """Who the app is, as messages carry it."""
    return {
        "id": BOT_ID,
        "app_id": APP_ID,
        "name": context.app.name,
        "deleted": False,
        "updated": 1,
        "team_id": TEAM_ID,
    }


def post(context: Context, channel: Channel, message: Json, thread_ts: str | None = None) -> Json:
    """Add `message` to the channel, or to the thread of `thread_ts`.

    Raises SlackError thread_not_found for a thread that is not there.
    """
    if channel.archived:
        raise SlackError("is_archived")
    if thread_ts:
        parent = channel.messages.get(thread_ts)
        if parent is None:
            raise SlackError("thread_not_found")
        # Slack files an answer to a reply under the reply's own thread.
        thread_ts = parent.get("thread_ts", thread_ts)
        parent = channel.messages.get(thread_ts, parent)
        message["thread_ts"] = thread_ts
        if parent.get("user"):  # an incoming webhook has none
            message["parent_user_id"] = parent["user"]
        channel.messages[message["ts"]] = message
        _count_replies(context, channel, thread_ts)
        if message.get("user") == BOT_USER_ID:
            clear_status(context, channel.id, thread_ts)
    else:
        channel.messages[message["ts"]] = message
    tell(context, channel, message)
    events.message_posted(context, channel, message)
    return message


def change(context: Context, channel: Channel, ts: str, **fields: Any) -> Json:
    """Change fields of a message (None removes one) and tell everybody."""
    message = context.workspace.message(channel, ts)
    before = copy.deepcopy(message)
    for key, value in fields.items():
        if value is None:
            message.pop(key, None)
        else:
            message[key] = value
    tell(context, channel, message)
    events.message_changed(context, channel, message, before)
    return message


def remove(context: Context, channel: Channel, ts: str) -> None:
    """Delete a message; a parent with replies leaves a tombstone, as at Slack."""
    message = context.workspace.message(channel, ts)
    before = copy.deepcopy(message)
    context.workspace.streams.discard((channel.id, ts))
    if message.get("reply_count"):
        kept = {key: message[key] for key in ("ts", "thread_ts", "reply_count", "latest_reply")}
        tombstone = {
            "type": "message",
            "subtype": "tombstone",
            "text": "This message was deleted.",
            "user": SLACKBOT_ID,
            "hidden": True,
            **kept,
        }
        channel.messages[ts] = tombstone
        tell(context, channel, tombstone)
        events.message_changed(context, channel, tombstone, before)
        return
    del channel.messages[ts]
    if message.get("thread_ts", ts) != ts:
        _count_replies(context, channel, message["thread_ts"])
    context.workspace.changed("removed", channel.id, {"ts": ts})
    events.message_deleted(context, channel, before)


def post_ephemeral(context: Context, channel: Channel, user: str, message: Json) -> Json:
    """Show `message` to one person only; no history has it and no event tells of it."""
    message["is_ephemeral"] = True
    context.workspace.ephemerals.append(Ephemeral(user, channel.id, message))
    context.workspace.changed("message", channel.id, message, user)
    return message


def join(context: Context, channel: Channel, user: str, inviter: str = "") -> None:
    """Add a member; the channel shows it and the app hears of it. A member already: nothing happens."""
    if user in channel.members:
        return
    channel.members.add(user)
    context.workspace.changed("channels")
    message: Json = {
        "type": "message",
        "subtype": "channel_join",
        "user": user,
        "text": f"<@{user}> has joined the channel",
        "ts": context.workspace.new_ts(),
    }
    if inviter:
        message["inviter"] = inviter
    post(context, channel, message)
    events.member_joined(context, channel, user, inviter)


def react(context: Context, channel: Channel, message: Json, user: str, emoji: str) -> None:
    """Add one reaction. Raises SlackError invalid_name, already_reacted."""
    name = emoji.strip(":")
    if not re.fullmatch(r"[\w+'-]{1,100}", name):
        raise SlackError("invalid_name")
    reactions = message.setdefault("reactions", [])
    found = next((r for r in reactions if r["name"] == name), None)
    if found is None:
        found = {"name": name, "users": [], "count": 0}
        reactions.append(found)
    if user in found["users"]:
        raise SlackError("already_reacted")
    found["users"].append(user)
    found["count"] = len(found["users"])
    context.workspace.changed("message", channel.id, message)
    events.reaction_added(context, channel, user, name, message)


def unreact(context: Context, channel: Channel, message: Json, user: str, emoji: str) -> None:
    """Take one reaction back. Raises SlackError no_reaction."""
    reactions = message.get("reactions", [])
    found = next((r for r in reactions if r["name"] == emoji.strip(":")), None)
    if found is None or user not in found["users"]:
        raise SlackError("no_reaction")
    found["users"].remove(user)
    found["count"] = len(found["users"])
    if not found["users"]:
        reactions.remove(found)
    context.workspace.changed("message", channel.id, message)


def set_status(context: Context, channel: str, thread_ts: str, status: str) -> None:
    """The line under a thread while the app works; "" removes it, and so do a reply and two minutes."""
    key = (channel, thread_ts)
    if not status:
        clear_status(context, channel, thread_ts)
        return
    at = context.workspace.clock()
    context.workspace.statuses[key] = (status, at)
    context.workspace.changed("status", channel, {"thread_ts": thread_ts, "status": status})
    context.start(_expire_status(context, key, at))


async def _expire_status(context: Context, key: tuple[str, str], at: float) -> None:
    await context.faults.pause(STATUS_SECONDS)
    if context.workspace.statuses.get(key, ("", 0.0))[1] == at:
        clear_status(context, *key)


def clear_status(context: Context, channel: str, thread_ts: str) -> None:
    """No status any more."""
    if context.workspace.statuses.pop((channel, thread_ts), None) is not None:
        context.workspace.changed("status", channel, {"thread_ts": thread_ts, "status": ""})


def tell(context: Context, channel: Channel, message: Json) -> None:
    """The pages show `message` anew, and its parent's count of replies."""
    context.workspace.changed("message", channel.id, message)
    parent = channel.messages.get(message.get("thread_ts", ""))
    if parent is not None and parent is not message:
        context.workspace.changed("message", channel.id, parent)


def _count_replies(context: Context, channel: Channel, thread_ts: str) -> None:
    parent = channel.messages.get(thread_ts)
    if parent is None:
        return
    replies = [m for m in context.workspace.thread(channel, thread_ts) if m["ts"] != thread_ts]
    users = list(dict.fromkeys(m["user"] for m in replies if "user" in m))
    for key in ("thread_ts", "reply_count", "reply_users", "reply_users_count", "latest_reply"):
        parent.pop(key, None)
    if replies:
        parent |= {
            "thread_ts": thread_ts,
            "reply_count": len(replies),
            "reply_users": users[:5],
            "reply_users_count": len(users),
            "latest_reply": replies[-1]["ts"],
        }

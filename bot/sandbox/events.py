"""What the app hears of: the Events API payloads, with Slack's rules for who hears what."""

from __future__ import annotations

import copy
import re

from bot.sandbox.context import Context
from bot.sandbox.errors import SlackError
from bot.sandbox.workspace import APP_ID, BOT_USER_ID, TEAM_ID, Channel, Json

MENTION = re.compile(rf"<@{BOT_USER_ID}(\|[^>]*)?>")


def emit(context: Context, name: str, event: Json, shared: bool = False) -> None:
    """Deliver `event` in the background when the app is subscribed to `name` (as the manifest names it).

    shared: it happened in a channel that another team is in too (Slack Connect).
    """
    if not context.app.hears(name):
        return
    payload = {
        "token": "sandbox-verification-token",
        "team_id": TEAM_ID,
        "context_team_id": TEAM_ID,
        "context_enterprise_id": None,
        "api_app_id": APP_ID,
        "event": copy.deepcopy(event),
        "type": "event_callback",
        "event_id": context.workspace.new_id("Ev"),
        "event_time": int(context.workspace.clock()),
        "authorizations": [
            {
                "enterprise_id": None,
                "team_id": TEAM_ID,
                "user_id": BOT_USER_ID,
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ],
        "is_ext_shared_channel": shared,
        "event_context": f"4-{context.workspace.new_id('')}",
    }
    context.deliver(_deliver(context, payload))


async def _deliver(context: Context, payload: Json) -> None:
    try:
        await context.sockets.deliver("events_api", payload)
    except SlackError:
        context.lost.append(payload)  # as at Slack: after the last redelivery an event is gone


def message_posted(context: Context, channel: Channel, message: Json) -> None:
    """A message is new: `message`, and `app_mention` beside it where it mentions the bot."""
    if BOT_USER_ID not in channel.members:
        return
    event = _message_event(channel, message)
    emit(context, _name(channel), event, _shared(context, channel))
    if not channel.is_im and mentions(message) and message.get("user") != BOT_USER_ID:
        _mention(context, channel, message)


def message_changed(context: Context, channel: Channel, message: Json, before: Json) -> None:
    """A message was edited; as at Slack, each edit of one that mentions the bot is a mention too."""
    if BOT_USER_ID not in channel.members:
        return
    emit(context, _name(channel), _change_event(context, channel, "message_changed", message, before))
    edited = message.get("edited") != before.get("edited")
    if not channel.is_im and edited and mentions(message) and message.get("user") != BOT_USER_ID:
        _mention(context, channel, message)


def message_deleted(context: Context, channel: Channel, before: Json) -> None:
    """A message is gone."""
    if BOT_USER_ID not in channel.members:
        return
    event = _change_event(context, channel, "message_deleted", None, before)
    event["deleted_ts"] = before["ts"]
    emit(context, _name(channel), event)


def member_joined(context: Context, channel: Channel, user: str, inviter: str = "") -> None:
    """Somebody (the bot too) came into a channel that the bot is in."""
    event: Json = {
        "type": "member_joined_channel",
        "user": user,
        "channel": channel.id,
        "channel_type": "G" if channel.private else "C",
        "team": TEAM_ID,
        "event_ts": context.workspace.new_ts(),
    }
    if inviter:
        event["inviter"] = inviter
    if BOT_USER_ID in channel.members:
        emit(context, "member_joined_channel", event)


def reaction_added(context: Context, channel: Channel, user: str, name: str, message: Json) -> None:
    """Somebody put an emoji on a message."""
    if BOT_USER_ID not in channel.members:
        return
    event = {
        "type": "reaction_added",
        "user": user,
        "reaction": name,
        "item": {"type": "message", "channel": channel.id, "ts": message["ts"]},
        "item_user": message.get("user", ""),
        "event_ts": context.workspace.new_ts(),
    }
    emit(context, "reaction_added", event)


def home_opened(context: Context, user: str, tab: str, view: Json | None) -> None:
    """Somebody looks at the app: `tab` is home or messages."""
    event: Json = {
        "type": "app_home_opened",
        "user": user,
        "channel": context.workspace.open_im(user).id,
        "tab": tab,
        "event_ts": context.workspace.new_ts(),
    }
    if view is not None:
        event["view"] = view
    emit(context, "app_home_opened", event)


def assistant_thread_event(
    context: Context, name: str, user: str, thread_ts: str, viewed_channel: str
) -> None:
    """assistant_thread_started or …_context_changed; `viewed_channel` is a channel id or ""."""
    pane_context: Json = {"force_search": False}
    if viewed_channel:
        pane_context = {"channel_id": viewed_channel, "team_id": TEAM_ID, "enterprise_id": None}
    emit(
        context,
        name,
        {
            "type": name,
            "assistant_thread": {
                "user_id": user,
                "context": pane_context,
                "channel_id": context.workspace.open_im(user).id,
                "thread_ts": thread_ts,
            },
            "event_ts": context.workspace.new_ts(),
        },
    )


def mentions(message: Json) -> bool:
    """Whether the message's text mentions the bot."""
    return bool(MENTION.search(message.get("text", "")))


def _mention(context: Context, channel: Channel, message: Json) -> None:
    event = {**_as_event(message), "type": "app_mention", "channel": channel.id, "event_ts": message["ts"]}
    event.pop("subtype", None)
    emit(context, "app_mention", event, _shared(context, channel))


def _shared(context: Context, channel: Channel) -> bool:
    users = context.workspace.users
    return any(users[member].team != TEAM_ID for member in channel.members if member in users)


def _message_event(channel: Channel, message: Json) -> Json:
    return {
        **_as_event(message),
        "channel": channel.id,
        "channel_type": channel.kind,
        "event_ts": message["ts"],
    }


def _change_event(
    context: Context, channel: Channel, subtype: str, message: Json | None, before: Json
) -> Json:
    event: Json = {
        "type": "message",
        "subtype": subtype,
        "hidden": True,
        "channel": channel.id,
        "channel_type": channel.kind,
        "ts": context.workspace.new_ts(),
        "previous_message": _as_event(before),
    }
    event["event_ts"] = event["ts"]
    if message is not None:
        event["message"] = _as_event(message)
    return event


def _as_event(message: Json) -> Json:
    """Events carry no metadata unless an app asked for message_metadata events, and no reply counts."""
    hidden = ("metadata", "reply_count", "reply_users", "reply_users_count", "latest_reply", "reactions")
    return {key: value for key, value in message.items() if key not in hidden}


def _name(channel: Channel) -> str:
    plural = {"im": "im", "mpim": "mpim", "group": "groups", "channel": "channels"}
    return f"message.{plural[channel.kind]}"

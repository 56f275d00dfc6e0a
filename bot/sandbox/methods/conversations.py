"""Channels and what was said in them: conversations.*"""

from __future__ import annotations

from bot.sandbox import messages
from bot.sandbox.arguments import Arguments
from bot.sandbox.context import Context
from bot.sandbox.errors import SlackError
from bot.sandbox.methods.pagination import page
from bot.sandbox.methods.registry import method, require_channel_scope, require_scope
from bot.sandbox.workspace import BOT_USER_ID, Channel, Json

KINDS = {"public_channel": "channel", "private_channel": "group", "mpim": "mpim", "im": "im"}
READ = {
    "public_channel": "channels:read",
    "private_channel": "groups:read",
    "mpim": "mpim:read",
    "im": "im:read",
}
MOST_IN_MPIM = 8  # people beside the app


def channel_object(channel: Channel, members: bool = False) -> Json:
    """A conversation object."""
    found: Json = {
        "id": channel.id,
        "created": 1,
        "is_im": channel.is_im,
        "is_channel": channel.kind == "channel",
        "is_group": channel.private,
        "is_mpim": channel.is_mpim,
        "is_private": channel.kind != "channel",
        "is_archived": channel.archived,
        "is_ext_shared": False,
        "is_shared": False,
        "is_org_shared": False,
    }
    if channel.is_im:
        found["user"] = channel.user
    else:
        found |= {
            "name": channel.name,
            "name_normalized": channel.name,
            "is_member": BOT_USER_ID in channel.members,
            "topic": {"value": channel.topic, "creator": "", "last_set": 0},
            "purpose": {"value": "", "creator": "", "last_set": 0},
        }
    if members:
        found["num_members"] = len(channel.members)
    return found


def readable(context: Context, arguments: Arguments) -> Channel:
    """The channel whose history the app asks for. Raises channel_not_found, missing_scope, not_in_channel."""
    channel = context.workspace.channel(arguments.text("channel"))
    require_channel_scope(context, channel, "history")
    if channel.private and BOT_USER_ID not in channel.members:
        raise SlackError("channel_not_found")
    if BOT_USER_ID not in channel.members:
        raise SlackError("not_in_channel")
    return channel


def _as_history(message: Json, arguments: Arguments) -> Json:
    """A message as history returns it: metadata only on request."""
    if arguments.flag("include_all_metadata"):
        return message
    return {key: value for key, value in message.items() if key != "metadata"}


def _within(message: Json, arguments: Arguments) -> bool:
    ts = float(message["ts"])
    try:
        oldest = float(arguments.text("oldest") or "0")
        latest = float(arguments.text("latest") or "inf")
    except ValueError:
        raise SlackError("invalid_ts_latest") from None
    if arguments.flag("inclusive"):
        return oldest <= ts <= latest
    return oldest < ts < latest


@method(
    "conversations.replies",
    ("channels:history", "groups:history", "im:history", "mpim:history"),
    "channel ts",
    "cursor inclusive include_all_metadata latest limit oldest",
)
def replies(context: Context, arguments: Arguments) -> Json:
    """A thread, oldest first; its parent stands first on every page."""
    channel = readable(context, arguments)
    ts = arguments.text("ts")
    found = context.workspace.thread(channel, ts)
    if not found:
        raise SlackError("thread_not_found")
    parents = [m for m in found if m["ts"] == ts]
    rest = [m for m in found if m["ts"] != ts and _within(m, arguments)]
    part, after = page(rest, arguments, 1000, 1000)
    return {
        "messages": [_as_history(message, arguments) for message in [*parents, *part]],
        "has_more": bool(after["response_metadata"]["next_cursor"]),
        **after,
    }


@method(
    "conversations.history",
    ("channels:history", "groups:history", "im:history", "mpim:history"),
    "channel",
    "cursor inclusive include_all_metadata latest limit oldest",
)
def history(context: Context, arguments: Arguments) -> Json:
    """What stands in a channel, newest first, replies not included."""
    channel = readable(context, arguments)
    found = [m for m in context.workspace.top_level(channel) if _within(m, arguments)]
    part, after = page(found[::-1], arguments, 100, 999)
    return {
        "messages": [_as_history(message, arguments) for message in part],
        "has_more": bool(after["response_metadata"]["next_cursor"]),
        "pin_count": 0,
        **after,
    }


@method(
    "conversations.info",
    tuple(READ.values()),
    "channel",
    "include_locale include_num_members",
)
def info(context: Context, arguments: Arguments) -> Json:
    """One channel."""
    channel = context.workspace.channel(arguments.text("channel"))
    require_channel_scope(context, channel, "read")
    found = channel_object(channel, arguments.flag("include_num_members"))
    if arguments.flag("include_locale"):
        found["locale"] = "en-US"
    return {"channel": found}


@method(
    "conversations.list",
    tuple(READ.values()),
    optional="cursor exclude_archived limit team_id types",
)
def list_channels(context: Context, arguments: Arguments) -> Json:
    """The channels; direct messages only where `types` asks for im or mpim."""
    types = arguments.text("types", "public_channel").split(",")
    found = []
    for channel in context.workspace.channels.values():
        if channel.kind in {KINDS.get(kind) for kind in types} and (
            not channel.private or BOT_USER_ID in channel.members
        ):
            require_channel_scope(context, channel, "read")
            if not (channel.archived and arguments.flag("exclude_archived")):
                found.append(channel_object(channel, members=not channel.is_im))
    part, after = page(found, arguments, 100, 999)
    return {"channels": part, **after}


@method("conversations.open", ("im:write", "mpim:write"), optional="channel prevent_creation return_im users")
def open_conversation(context: Context, arguments: Arguments) -> Json:
    """The direct message with one person, or the group direct message with several."""
    if "channel" in arguments:
        channel = context.workspace.channel(arguments.text("channel"))
    else:
        names = [name for name in arguments.text("users").split(",") if name]
        if not names:
            raise SlackError("users_list_not_supplied")
        users = {context.workspace.user(name).id for name in names} - {BOT_USER_ID}
        if not users:
            raise SlackError("cannot_dm_bot")
        if len(users) > MOST_IN_MPIM:
            raise SlackError("too_many_users")
        require_scope(context, "im:write" if len(users) == 1 else "mpim:write")
        channel = (
            context.workspace.open_im(users.pop()) if len(users) == 1 else context.workspace.open_mpim(users)
        )
    return {"channel": channel_object(channel) if arguments.flag("return_im") else {"id": channel.id}}


@method("conversations.members", tuple(READ.values()), "channel", "cursor limit")
def members(context: Context, arguments: Arguments) -> Json:
    """Who is in a channel."""
    channel = context.workspace.channel(arguments.text("channel"))
    require_channel_scope(context, channel, "read")
    part, after = page(sorted(channel.members), arguments, 100, 1000)
    return {"members": part, **after}


@method("conversations.join", ("channels:join",), "channel")
def join(context: Context, arguments: Arguments) -> Json:
    """The bot comes into a public channel by itself."""
    channel = context.workspace.channel(arguments.text("channel"))
    if channel.kind != "channel":
        raise SlackError("method_not_supported_for_channel_type")
    if BOT_USER_ID not in channel.members:
        messages.join(context, channel, BOT_USER_ID)
    return {"channel": channel_object(channel)}

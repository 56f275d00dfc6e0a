"""Coming into a channel."""

from __future__ import annotations

from bot.sandbox import events, posting
from bot.sandbox.context import Context
from bot.sandbox.workspace import Channel, Json


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
    posting.post(context, channel, message)
    events.member_joined(context, channel, user, inviter)

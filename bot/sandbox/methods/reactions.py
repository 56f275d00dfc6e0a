"""Emoji on messages: reactions.add, reactions.remove."""

from __future__ import annotations

from bot.sandbox import messages
from bot.sandbox.arguments import Arguments
from bot.sandbox.context import Context
from bot.sandbox.methods.registry import method
from bot.sandbox.workspace import BOT_USER_ID, Json


@method("reactions.add", ("reactions:write",), "channel name timestamp")
def add(context: Context, arguments: Arguments) -> Json:
    """The bot puts an emoji on a message."""
    channel = context.workspace.channel(arguments.text("channel"))
    message = context.workspace.message(channel, arguments.text("timestamp"))
    messages.react(context, channel, message, BOT_USER_ID, arguments.text("name"))
    return {}


@method("reactions.remove", ("reactions:write",), "name", "channel file file_comment timestamp")
def remove(context: Context, arguments: Arguments) -> Json:
    """The bot takes its emoji back."""
    channel = context.workspace.channel(arguments.text("channel"))
    message = context.workspace.message(channel, arguments.text("timestamp"))
    messages.unreact(context, channel, message, BOT_USER_ID, arguments.text("name"))
    return {}

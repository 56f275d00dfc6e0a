"""Emoji that people and the bot put on messages."""

from __future__ import annotations

import re

from bot.sandbox import events
from bot.sandbox.context import Context
from bot.sandbox.errors import SlackError
from bot.sandbox.workspace import Channel, Json


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

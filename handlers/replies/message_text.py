"""What a Slack message says, as plain text for the model."""

from __future__ import annotations

from typing import Any

from handlers.formatting.message_markup import message_markup
from handlers.formatting.readable import mentioned_users, names_within, readable, without_bot
from handlers.transport.context import SlackContext

# Subtypes of the messages in which somebody, or an app, says something.
SPOKEN = (None, "file_share", "thread_broadcast", "bot_message")


async def plain_text(slack: SlackContext, markup: str) -> str:
    """Slack's markup as text, people called by their names; the bot's own mention is left out."""
    markup = without_bot(markup, (await slack.identity()).user)
    people = {user: (await slack.person(user)).name for user in mentioned_users(markup)}
    return readable(markup, names_within(markup) | people)


async def message_text(slack: SlackContext, message: dict[str, Any]) -> str:
    """All that a message says: text, blocks, attachments and what is shared in it, each word once."""
    if message.get("plain"):  # a command's text, which is no markup any more
        return str(message["text"])
    return await plain_text(slack, message_markup(message))


async def author_name(slack: SlackContext, message: dict[str, Any]) -> str:
    """Who wrote a message, as others see it: a person, or an app under the name that it shows."""
    if not message.get("bot_id"):
        return (await slack.person(message["user"])).name
    name = message.get("username") or (message.get("bot_profile") or {}).get("name") or message["bot_id"]
    return " ".join(str(name).split())

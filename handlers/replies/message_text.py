"""What a Slack message says, as plain text for the model."""

from __future__ import annotations

from typing import Any

from handlers.formatting.readable import mentioned_users, readable
from handlers.transport.context import SlackContext


async def plain_text(slack: SlackContext, text: str) -> str:
    """Slack's markup as text, people called by their names; the bot's own mention is left out."""
    bot_user = (await slack.identity()).user
    names = {user: (await slack.person(user)).name for user in mentioned_users(text) - {bot_user}}
    return readable(text, names)


async def message_text(slack: SlackContext, message: dict[str, Any]) -> str:
    """A message's text with what it quotes: messages shared into it stand before it, as quotations."""
    if message.get("plain"):  # a command's text, which is no markup any more
        return str(message["text"])
    parts = []
    for shared in message.get("attachments") or []:
        if shared.get("is_msg_unfurl") or shared.get("is_share") or shared.get("message_blocks"):
            quoted = await plain_text(slack, str(shared.get("text") or shared.get("fallback") or ""))
            name = shared.get("author_name") or shared.get("author_subname") or ""
            if quoted:
                parts.append("\n".join("> " + line for line in f"{name}: {quoted}".splitlines()))
    parts.append(await plain_text(slack, str(message.get("text") or "")))
    return "\n".join(part for part in parts if part)

"""From Slack's markup (mrkdwn) to plain text for the model, and whom a message mentions."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping

_USER = re.compile(r"<@([A-Z0-9]+)(?:\|([^>]*))?>")
_CHANNEL = re.compile(r"<#([A-Z0-9]+)(?:\|([^>]*))?>")
_SPECIAL = re.compile(r"<!(?:subteam\^)?([A-Za-z0-9]+)(?:\^[^|>]*)?(?:\|([^>]*))?>")
_LINK = re.compile(r"<((?:https?|mailto|tel):[^|>\s]*)(?:\|([^>]*))?>")


def readable(text: str, names: Mapping[str, str]) -> str:
    """Markup as text: names for people's ids, addresses for links. Whoever is not in `names` is left out."""
    text = _USER.sub(lambda match: f"@{names[match[1]]}" if match[1] in names else "", text)
    text = _CHANNEL.sub(lambda match: "#" + (match[2] or match[1]), text)
    text = _SPECIAL.sub(lambda match: "@" + (match[2] or match[1]).lstrip("@"), text)
    text = _LINK.sub(_address, text)
    return html.unescape(text).strip()


def mentioned_users(text: str) -> set[str]:
    """The ids of the people that a message mentions."""
    return {match[1] for match in _USER.finditer(text)}


def mentioned_channels(text: str) -> set[str]:
    """The ids of the channels that a message names."""
    return {match[1] for match in _CHANNEL.finditer(text)}


def names_bot(text: str, bot_user: str) -> bool:
    """Whether a message mentions the bot."""
    return bot_user in mentioned_users(text)


def without_bot(text: str, bot_user: str) -> str:
    """The message without its mentions of the bot."""
    return _USER.sub(lambda match: "" if match[1] == bot_user else match[0], text)


def is_for_someone_else(text: str, bot_user: str) -> bool:
    """Whether a message begins by addressing somebody who is not the bot."""
    match = _USER.match(text.strip())
    return bool(match and match[1] != bot_user and not names_bot(text, bot_user))


def _address(match: re.Match[str]) -> str:
    url, label = match[1], match[2]
    bare = re.sub(r"^(mailto|tel):", "", url)
    return bare if not label or label in (url, bare) else f"{label} ({bare})"

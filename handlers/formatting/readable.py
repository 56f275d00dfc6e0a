"""From Slack's markup (mrkdwn) to plain text for the model, and whom a message mentions."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping

from handlers.formatting.shortcodes import SHORTCODES, replace_shortcodes

_USER = re.compile(r"<@([A-Z0-9]+)(?:\|([^<>]*))?>")
_CHANNEL = re.compile(r"<#([A-Z0-9]+)(?:\|([^<>]*))?>")
_GROUP = re.compile(r"<!subteam\^([A-Z0-9]+)(?:\|([^<>]*))?>")
_DATE = re.compile(r"<!date\^[^<|>]*\|([^<>]*)>")
_BROADCAST = re.compile(r"<!([a-z]+)(?:\|([^<>]*))?>")
_LINK = re.compile(r"<((?:https?|mailto|tel):[^<|>\s]*)(?:\|([^<>]*))?>")
_REFERENCE = re.compile(
    "|".join(each.pattern for each in (_USER, _CHANNEL, _GROUP, _DATE, _BROADCAST, _LINK))
)
# What is no plain text: code and addresses stay as they are, references are named, shortcodes become emoji.
_MARKUP = re.compile(
    rf"(?P<kept>```.*?```|`[^`\n]+`|https?://[!-;=?-~]+)|(?P<reference>{_REFERENCE.pattern})"
    rf"|(?P<shortcodes>{SHORTCODES})",
    re.DOTALL,
)


# What stands between the bot's name and what is said to it; a colon may also begin a shortcode.
_ADDRESSED = r"[^\S\n]*(?:(?:[,;，：；、]|:(?![\w+'-]{1,80}:))[^\S\n]*)?"


def readable(text: str, names: Mapping[str, str]) -> str:
    """Markup as text: names for ids, addresses for links, emoji for shortcodes.

    People and groups that are not in `names` are left out.
    """

    def shown(match: re.Match[str]) -> str:
        if match["kept"]:
            return match["kept"]
        return replace_shortcodes(match) if match["shortcodes"] else _named(match["reference"], names)

    return html.unescape(_MARKUP.sub(shown, text)).strip()


def names_within(text: str) -> dict[str, str]:
    """The names of channels and groups that markup gives beside their ids."""
    labelled = [*_CHANNEL.finditer(text), *_GROUP.finditer(text)]
    return {match[1]: match[2].lstrip("@#") for match in labelled if match[2]}


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
    """The message without its mentions of the bot, nor the comma or colon behind one that begins a line."""
    return re.sub(rf"(?m)(^)?<@{re.escape(bot_user)}(?:\|[^<>]*)?>(?(1){_ADDRESSED})", "", text)


def is_for_someone_else(text: str, bot_user: str) -> bool:
    """Whether a message begins by addressing somebody who is not the bot."""
    match = _USER.match(text.strip())
    return bool(match and match[1] != bot_user and not names_bot(text, bot_user))


def _named(reference: str, names: Mapping[str, str]) -> str:
    """What stands in angle brackets, as text."""
    if match := _USER.fullmatch(reference):
        return f"@{names[match[1]]}" if match[1] in names else ""
    if match := _CHANNEL.fullmatch(reference):
        return "#" + (match[2] or names.get(match[1]) or match[1])
    if match := _GROUP.fullmatch(reference):
        name = (match[2] or names.get(match[1], "")).lstrip("@")
        return f"@{name}" if name else ""
    if match := _DATE.fullmatch(reference):
        return match[1]
    if match := _BROADCAST.fullmatch(reference):
        return "@" + (match[2] or match[1]).lstrip("@")
    match = _LINK.fullmatch(reference)
    return _address(match) if match else reference


def _address(match: re.Match[str]) -> str:
    url, label = match[1], match[2]
    bare = re.sub(r"^(mailto|tel):", "", url)
    return bare if not label or label in (url, bare) else f"{label} ({bare})"

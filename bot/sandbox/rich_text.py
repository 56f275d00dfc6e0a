"""What a person types, as Slack stores it: escaped, with mentions and links in angle brackets."""

from __future__ import annotations

import re
from typing import Any

from bot.sandbox.workspace import Json, Workspace

_KEPT = r"<@[UW][A-Z0-9]+(?:\|[^<>]*)?>|<#C[A-Z0-9]+(?:\|[^<>]*)?>|<!(?:here|channel|everyone|subteam\^\w+)>"
_CODE = r"```.*?```|`[^`\n]+`"
_URL = r"https?://[^\s<>|]+[^\s<>|.,;:!?)\]}'\"，。；！？）】》]"
_TOKEN = re.compile(r"<(?P<sort>[@#!])(?P<id>[\w^]+)(?:\|(?P<label>[^<>]*))?>|<(?P<url>https?://[^<>|]+)>")


def escape(text: str) -> str:
    """`&`, `<` and `>` as Slack writes them."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def as_stored(workspace: Workspace, typed: str) -> str:
    """The text of a message from what was typed: `@ada` becomes `<@U…>`, `a < b` becomes `a &lt; b`.

    Mentions already in Slack's form are kept; nothing inside code is turned into a mention or a link.
    """
    people = {u.name: u.id for u in workspace.users.values()}
    people |= {u.real_name: u.id for u in workspace.users.values()}
    rooms = {c.name: c.id for c in workspace.channels.values() if c.kind in ("channel", "group")}
    names = "|".join(re.escape(name) for name in sorted(people, key=len, reverse=True))
    channels = "|".join(re.escape(name) for name in sorted(rooms, key=len, reverse=True))
    pattern = re.compile(
        rf"(?P<code>{_CODE})|(?P<kept>{_KEPT})|(?P<url>{_URL})|(?<!\w)@(?P<person>{names})(?!\w)"
        rf"|(?<!\w)@(?P<all>here|channel|everyone)(?!\w)|(?<!\w)#(?P<room>{channels})(?![\w#])",
        re.DOTALL,
    )

    def stored(match: re.Match[str]) -> str:
        kind, found = match.lastgroup, match.group(match.lastgroup or 0)
        if kind == "kept":
            return found
        if kind == "url":
            return f"<{escape(found)}>"
        if kind == "person":
            return f"<@{people[found]}>"
        if kind == "all":
            return f"<!{found}>"
        if kind == "room":
            return f"<#{rooms[found]}|{found}>"
        return escape(found)

    parts, end = [], 0
    for match in pattern.finditer(typed):
        parts += [escape(typed[end : match.start()]), stored(match)]
        end = match.end()
    return "".join([*parts, escape(typed[end:])])


def rich_text(stored: str, block_id: str) -> list[Json]:
    """The rich_text block that Slack puts beside a person's text: text, mentions and links in order."""
    elements: list[dict[str, Any]] = []
    end = 0
    for match in _TOKEN.finditer(stored):
        _plain(elements, stored[end : match.start()])
        end = match.end()
        if match["url"]:
            elements.append({"type": "link", "url": _unescape(match["url"])})
        elif match["sort"] == "@":
            elements.append({"type": "user", "user_id": match["id"]})
        elif match["sort"] == "#":
            elements.append({"type": "channel", "channel_id": match["id"]})
        else:
            elements.append({"type": "broadcast", "range": match["id"]})
    _plain(elements, stored[end:])
    section = {"type": "rich_text_section", "elements": elements}
    return [{"type": "rich_text", "block_id": block_id, "elements": [section]}]


def _plain(elements: list[Json], text: str) -> None:
    if text:
        elements.append({"type": "text", "text": _unescape(text)})


def _unescape(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")

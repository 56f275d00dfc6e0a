"""Text made harmless: what the bot writes into Slack pings nobody and unfurls nothing."""

from __future__ import annotations

import re

JOINER = "\u2060"  # invisible, breaks a mention where it stands

# What Slack acts on, written by a model or typed by a person: a mention or broadcast, the beginning
# of one, a broadcast's bare word, a picture.
_RISK = re.compile(
    r"<([!@#])([^<>\n]{0,80})>|<(?=[!@#])|@(?=channel|here|everyone)|(?<!!)!+(?=\[)", re.IGNORECASE
)
# An address, bare or behind a label. Slack shows a preview of what it takes for a link.
_ASCII = r"[^\s<>`\[\]\u0080-\U0010ffff]"
_LABELLED = r"!?\[([^\[\]\n`]*)\]\((https?://[^()\s`]+)[^()\n`]*\)"
_LINK = re.compile(
    rf"{_LABELLED}|(?:https?://|www\.){_ASCII}*[^\s<>`\[\].,;:!?()}}'\"\u0080-\U0010ffff]",
    re.IGNORECASE | re.ASCII,  # else k and s also stand for letters beyond ASCII
)
# The end of a text that could still become one of the above.
_OPEN = re.compile(
    r"(?:<|<[!@#][^<>\n]{0,80}|@[A-Za-z]{0,8}|(?<!!)(?:!+|!*\[[^\[\]\n`]*(?:\](?:\([^()\n`]*)?)?)"
    rf"|ht{{0,2}}|https?:?/?|w{{1,3}}|(?:https?://|www\.){_ASCII}*)$",
    re.IGNORECASE | re.ASCII,
)
CODE = re.compile(r"(?<!`)(`+)(?!`)([^\n]*?)(?<!`)\1(?!`)")


def neutralise(text: str) -> str:
    """The same text to the eye, with no mention, broadcast or picture left that Slack would act on."""
    return _RISK.sub(_defused, text)


def quote(text: str, most: int = 2_000) -> str:
    """Somebody's text as a quotation in Slack's mrkdwn, shortened to `most` characters."""
    text = text.strip()
    if len(text) > most:
        text = text[: most - 1] + "…"
    safe = neutralise(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "\n".join("> " + line for line in safe.splitlines())


def escape(text: str) -> str:
    """One line of anybody's text inside mrkdwn: no mention, no markup, no line break."""
    flat = " ".join(neutralise(text).split())
    flat = re.sub(r"([*_~`])", JOINER + r"\1", flat)
    return flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def sanitize_inline(text: str) -> str:
    """Part of a line of Markdown, made harmless: its addresses become code, code stays code.

    A streamed message cannot be told to show no previews, and a small model makes addresses up.
    """
    done, end = "", 0
    for match in CODE.finditer(text):
        done = join_parts(done, _unlinked(text[end : match.start()]))
        done = join_parts(done, match[1] + neutralise(match[2]) + match[1])
        end = match.end()
    return join_parts(done, _unlinked(text[end:]))


def stable_length(text: str) -> int:
    """How many characters of part of a line mean the same whatever follows."""
    masked = text
    for match in CODE.finditer(text):
        if match.end() < len(text):  # one at the end may still grow
            masked = masked[: match.start()] + "\0" * len(match[0]) + masked[match.end() :]
    masked = re.sub(_LABELLED, lambda match: "\0" * len(match[0]), masked, flags=re.IGNORECASE)
    tick = masked.find("`")
    open_ = _OPEN.search(masked)
    return min(len(text) if tick < 0 else tick, open_.start() if open_ else len(text))


def join_parts(before: str, after: str) -> str:
    """Two parts of a line: a backtick that begins the second is joined to no backtick or backslash."""
    apart = before.endswith(("`", "\\")) and after.startswith("`")
    return before + (JOINER if apart else "") + after


def mrkdwn(text: str) -> str:
    """Sanitized Markdown as the short text of a notification, where Slack shows no blocks.

    Without marks: between Chinese characters they would be shown as they are.
    """
    text = re.sub(r"\*\*(.+?)\*\*", r"\1", text)
    text = neutralise(re.sub(r"(?m)^#{1,6}\s+(.+)$", r"\1", text))
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"(?m)^([^\S\n]*)[-*+]\s+", r"\1• ", text)


def _unlinked(text: str) -> str:
    """Text outside code: addresses become code, and backticks that are never closed apostrophes."""
    done, end = "", 0
    for match in _LINK.finditer(text):
        label, address = neutralise(match[1] or ""), neutralise(match[2] or match[0])
        shown = f"{label} (`{address}`)" if label and label != address else f"`{address}`"
        done = join_parts(done + neutralise(text[end : match.start()]).replace("`", "'"), shown)
        end = match.end()
    return done + neutralise(text[end:]).replace("`", "'")


def _defused(match: re.Match[str]) -> str:
    found = match[0]
    if found[0] == "!":
        return ""
    kind, rest = match[1], match[2]
    if kind is None:
        return found + JOINER
    name, _, label = rest.partition("|")
    shown = neutralise(label or name.removeprefix("subteam^"))
    if kind == "!" and name.startswith("date^"):
        return shown
    return ("#" if kind == "#" else "@") + JOINER + shown.lstrip("@#!" + JOINER)

"""What a Slack message says, as one text in Slack's markup, wherever in the message its words stand."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from handlers.formatting.readable import names_within, readable

Part: TypeAlias = Mapping[str, Any]  # an object of a message: a block, an element, an attachment

_NO_FALLBACK = "[no preview available]"  # what Slack writes where an app gave none


def message_markup(message: Part) -> str:
    """All words of a message, each once: messages shared into it as quotations, its own, its attachments'.

    The preview of an address is left out: its words are the page's.
    """
    said = body_markup(message)
    quoted = []
    for attachment in _parts(message.get("attachments")):
        if attachment.get("is_msg_unfurl") or attachment.get("is_share") or attachment.get("message_blocks"):
            quoted.append(_shared(attachment))
        elif not (attachment.get("from_url") or attachment.get("app_unfurl_url")):
            own = _attachment(attachment)
            if not _says_all(said, own):
                said = _lines(said, own)
    return _lines(*quoted, said)


def body_markup(message: Part) -> str:
    """What a message itself says, without its attachments.

    Its `text` and its `blocks` mostly say the same. Where the text leaves words out it is what a notification
    shows, and Slack shows the blocks.
    """
    text, blocks = str(message.get("text") or ""), blocks_markup(message.get("blocks"))
    return text if text.strip() and _says_all(text, blocks) else blocks or text


def blocks_markup(blocks: Any) -> str:
    """The words of Block Kit's blocks, one under the other."""
    return _lines(*(_BLOCKS.get(str(each.get("type")), _wordless)(each) for each in _parts(blocks)))


def _says_all(text: str, other: str) -> bool:
    """Whether `text` has every word of `other`, in its order."""
    names = names_within(f"{text}\n{other}")
    return _words(other, names) in _words(text, names)


def _words(markup: str, names: Mapping[str, str]) -> str:
    return re.sub(r"[\W_]+", "", readable(markup, names)).casefold()


def _shared(attachment: Part) -> str:
    """A message shared into another, quoted under its author's name."""
    blocks = [
        blocks_markup(message.get("blocks"))
        for each in _parts(attachment.get("message_blocks"))
        for message in _parts([each.get("message")])
    ]
    said = body_markup({"text": attachment.get("text")}) or _lines(*blocks) or _fallback(attachment)
    if not said.strip():
        return ""
    author = _plain(attachment.get("author_name") or attachment.get("author_subname"))
    return _quotation(f"{author}: {said}" if author else said)


def _attachment(attachment: Part) -> str:
    """What an app, or a pasted table, adds below a message."""
    fields = [
        ": ".join(filter(None, (_plain(each.get("title")), str(each.get("value") or ""))))
        for each in _parts(attachment.get("fields"))
    ]
    said = _lines(
        str(attachment.get("pretext") or ""),
        _plain(attachment.get("title")),
        str(attachment.get("text") or ""),
        *fields,
        blocks_markup(attachment.get("blocks")),
        _plain(attachment.get("footer")),
    )
    return said or _fallback(attachment)


def _fallback(attachment: Part) -> str:
    fallback = str(attachment.get("fallback") or "")
    return "" if fallback == _NO_FALLBACK else fallback


def _section(block: Part) -> str:
    return _lines(
        _text(block.get("text")), *map(_text, _parts(block.get("fields"))), _text(block.get("accessory"))
    )


def _context(block: Part) -> str:
    return " ".join(filter(None, map(_text, _parts(block.get("elements")))))


def _picture(block: Part) -> str:
    return _lines(_text(block.get("title")), _plain(block.get("alt_text")))


def _table(block: Part) -> str:
    rows = block.get("rows")
    return _lines(*map(_row, rows)) if isinstance(rows, list) else ""


def _row(cells: Any) -> str:
    return " | ".join(_text(cell).replace("\n", " ") for cell in _parts(cells))


def _text(part: Any) -> str:
    """A text object, a picture beside a text, or a table's cell."""
    if not isinstance(part, Mapping):
        return ""
    kind = part.get("type")
    if kind == "rich_text":
        return _rich_text(part)
    if kind == "image":
        return _plain(part.get("alt_text"))
    return str(part.get("text") or "") if kind == "mrkdwn" else _plain(part.get("text"))


def _rich_text(block: Part) -> str:
    return _lines(*(_rich(each) for each in _parts(block.get("elements"))))


def _rich(part: Part) -> str:
    """A section, list, quotation or piece of code."""
    kind, elements = part.get("type"), _parts(part.get("elements"))
    if kind == "rich_text_list":
        indent, first = "  " * _number(part.get("indent")), _number(part.get("offset")) + 1
        ordered = part.get("style") == "ordered"
        return "\n".join(
            f"{indent}{f'{number}.' if ordered else '•'} {_rich(each)}"
            for number, each in enumerate(elements, first)
        )
    text = "".join(map(_piece, elements))
    if kind == "rich_text_preformatted":
        return f"```\n{text}\n```"
    return _quotation(text) if kind == "rich_text_quote" else text


def _piece(part: Part) -> str:
    """One run of a rich text: words, or a reference in Slack's markup."""
    kind, text = part.get("type"), _plain(part.get("text"))
    if kind == "user":
        return f"<@{part.get('user_id')}>"
    if kind == "channel":
        return f"<#{part.get('channel_id')}>"
    if kind == "usergroup":
        return f"<!subteam^{part.get('usergroup_id')}>"
    if kind == "broadcast":
        return f"<!{part.get('range')}>"
    if kind == "emoji":
        tone = f":skin-tone-{part['skin_tone']}:" if part.get("skin_tone") else ""
        return f":{part.get('name')}:{tone}"
    if kind == "date":
        return _plain(part.get("fallback"))
    if kind == "link":
        return f"<{part.get('url')}|{text}>" if text else f"<{part.get('url')}>"
    (style,) = _parts([part.get("style")]) or [{}]
    return f"`{text}`" if style.get("code") and text else text


def _plain(text: Any) -> str:
    """Text that is no markup, escaped so that it becomes none."""
    return html.escape(html.unescape(str(text or "")), quote=False)


def _quotation(text: str) -> str:
    return "\n".join(f"&gt; {line}" for line in text.splitlines())


def _lines(*texts: str) -> str:
    return "\n".join(text for text in texts if text.strip())


def _number(found: Any) -> int:
    return found if isinstance(found, int) else 0


def _parts(found: Any) -> list[Part]:
    """The objects of a list that another program wrote."""
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _wordless(_: Part) -> str:
    return ""


_BLOCKS: dict[str, Callable[[Part], str]] = {
    "rich_text": _rich_text,
    "section": _section,
    "header": lambda block: _text(block.get("text")),
    "context": _context,
    "markdown": lambda block: str(block.get("text") or ""),
    "table": _table,
    "image": _picture,
    "video": _picture,
}

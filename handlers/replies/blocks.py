"""Block Kit: what the bot's messages look like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from config.strings import Strings

Block = dict[str, Any]

# Action ids: Slack keeps them in messages, so that a renamed one breaks the buttons of old messages.
STOP, AGAIN, FORGET = "stop_reply", "try_again", "forget_thread"
FEEDBACK, SHARE = "judge_reply", "share_emotion"


def plain(text: str) -> Block:
    """A plain text object."""
    return {"type": "plain_text", "text": text, "emoji": True}


def section(text: str) -> Block:
    """A paragraph of mrkdwn, at most 3,000 characters."""
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:3000]}}


def context(*texts: str) -> Block:
    """Small grey text."""
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": text[:3000]} for text in texts]}


def rich(texts: Sequence[tuple[str, bool]]) -> Block:
    """A line of plain texts, each with whether it is bold.

    Between characters without spaces, such as Chinese ones, mrkdwn shows its marks as they are written; here
    is no markup at all, and nothing to escape.
    """
    elements = [
        {"type": "text", "text": text, **({"style": {"bold": True}} if bold else {})}
        for text, bold in texts
        if text
    ]
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": elements}]}


def button(text: str, action: str, value: str, **more: Any) -> Block:
    """A button; `value` comes back when it is pressed."""
    return {"type": "button", "text": plain(text), "action_id": action, "value": value, **more}


def confirmation(strings: Strings, text: str) -> Block:
    """A question before something is deleted."""
    return {
        "title": plain(strings("confirm_title")),
        "text": plain(text),
        "confirm": plain(strings("confirm_yes")),
        "deny": plain(strings("confirm_no")),
        "style": "danger",
    }


def stop_row(strings: Strings, key: str) -> Block:
    """The button under an answer that is being written."""
    return {"type": "actions", "elements": [button(strings("stop"), STOP, key)]}


def answer_blocks(strings: Strings, text: str, key: str, notes: Sequence[str] = ()) -> list[Block]:
    """A finished answer: its Markdown, what is to be said about it, and the buttons."""
    again = button(strings("again"), AGAIN, key)
    forget = {
        "type": "icon_button",
        "icon": "trash",
        "text": plain(strings("forget")),
        "action_id": FORGET,
        "value": key,
        "confirm": confirmation(strings, strings("confirm_forget")),
    }
    feedback = {
        "type": "feedback_buttons",
        "action_id": FEEDBACK,
        "positive_button": {"text": plain("👍"), "value": f"+{key}", "accessibility_label": strings("good")},
        "negative_button": {"text": plain("👎"), "value": f"-{key}", "accessibility_label": strings("bad")},
    }
    blocks = [page_block(text)] if text else []
    if notes:
        blocks.append(context(*notes))
    return [
        *blocks,
        {"type": "context_actions", "elements": [feedback, forget]},
        {"type": "actions", "elements": [again]},
    ]


def page_block(text: str) -> Block:
    """One message's Markdown."""
    return {"type": "markdown", "text": text}


def emotion_blocks(
    line: str,
    confidence: float,
    strings: Strings,
    key: str,
    *,
    quoted: str = "",
    reason: Block | None = None,
    buttons: bool = True,
) -> list[Block]:
    """A classification: the line, how sure the model is, and for the asker a button that shares it."""
    percent = strings("confidence", percent=round(confidence * 100))
    blocks = [section(line), context(*(text for text in (percent, strings("model_note")) if text))]
    if reason:
        blocks.insert(1, reason)
    if quoted:
        blocks.insert(1, section(quoted))
    if buttons:
        blocks.append({"type": "actions", "elements": [button(strings("share"), SHARE, key)]})
    return blocks

"""Block Kit: what the bot's messages look like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from handlers.language import Words

Block = dict[str, Any]

STOP, AGAIN, FORGET = "stop_reply", "try_again", "forget_thread"
JUDGE, SHARE = "judge_reply", "share_emotion"


def plain(text: str) -> Block:
    """A plain text object."""
    return {"type": "plain_text", "text": text, "emoji": True}


def section(text: str) -> Block:
    """A paragraph of mrkdwn, at most 3,000 characters."""
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:3000]}}


def context(*texts: str) -> Block:
    """Small grey text."""
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": text[:3000]} for text in texts]}


def button(text: str, action: str, value: str, **more: Any) -> Block:
    """A button; `value` comes back when it is pressed."""
    return {"type": "button", "text": plain(text), "action_id": action, "value": value, **more}


def confirmation(words: Words, text: str) -> Block:
    """A question before something is deleted."""
    return {
        "title": plain(words("confirm_title")),
        "text": plain(text),
        "confirm": plain(words("confirm_yes")),
        "deny": plain(words("confirm_no")),
        "style": "danger",
    }


def stop_row(words: Words, key: str) -> Block:
    """The button under an answer that is being written."""
    return {"type": "actions", "elements": [button(words("stop"), STOP, key)]}


def answer_blocks(words: Words, text: str, key: str, notes: Sequence[str] = ()) -> list[Block]:
    """A finished answer: its Markdown, what is to be said about it, and the buttons."""
    again = button(words("again"), AGAIN, key)
    forget = {
        "type": "icon_button",
        "icon": "trash",
        "text": plain(words("forget")),
        "action_id": FORGET,
        "value": key,
        "confirm": confirmation(words, words("confirm_forget")),
    }
    judge = {
        "type": "feedback_buttons",
        "action_id": JUDGE,
        "positive_button": {"text": plain("👍"), "value": f"+{key}", "accessibility_label": words("good")},
        "negative_button": {"text": plain("👎"), "value": f"-{key}", "accessibility_label": words("bad")},
    }
    blocks = [page_block(text)] if text else []
    if notes:
        blocks.append(context(*notes))
    return [
        *blocks,
        {"type": "context_actions", "elements": [judge, forget]},
        {"type": "actions", "elements": [again]},
    ]


def page_block(text: str) -> Block:
    """One message's Markdown."""
    return {"type": "markdown", "text": text}


def emotion_blocks(
    line: str,
    confidence: float,
    words: Words,
    key: str,
    *,
    quote: str = "",
    why: str = "",
    buttons: bool = True,
) -> list[Block]:
    """A classification: the line, how sure the model is, and for the asker a button that shares it."""
    percent = words("confidence", percent=round(confidence * 100))
    blocks = [section(line), context(*(text for text in (percent, why, words("model_note")) if text))]
    if quote:
        blocks.insert(1, section(quote))
    if buttons:
        blocks.append({"type": "actions", "elements": [button(words("share"), SHARE, key)]})
    return blocks

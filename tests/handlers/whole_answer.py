"""A whole answer at once, where the bot has it piece by piece."""

from __future__ import annotations

from handlers.formatting.markdown import MarkdownSanitizer


def sanitize_markdown(text: str) -> str:
    """A model's Markdown as Slack renders it."""
    sanitizer = MarkdownSanitizer()
    return sanitizer.feed(text) + sanitizer.end()

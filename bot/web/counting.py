"""How many tokens a piece of text has, for any engine."""

from __future__ import annotations

from bot.engine import Engine, Message, Prompt

_EMPTY = Prompt((Message("user", ""),))


def count_text(engine: Engine, text: str) -> int:
    """Tokens of `text` by itself, without those that the chat template puts around it."""
    return max(0, engine.count(Prompt((Message("user", text),))) - engine.count(_EMPTY))

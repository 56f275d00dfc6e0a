"""The model on a CPU: `score` and `stream`, and nothing of Slack, roles or SQL."""

from bot.engine.errors import EngineBusy, EngineError, PromptTooLong
from bot.engine.interface import Engine, Message, Prompt, Sampling, count_prompt, count_text

__all__ = [
    "Engine",
    "EngineBusy",
    "EngineError",
    "Message",
    "Prompt",
    "PromptTooLong",
    "Sampling",
    "count_prompt",
    "count_text",
]

"""The model on a CPU: `score` and `stream`, and nothing of Slack, roles or SQL."""

from bot.engine.interface import (
    Engine,
    EngineBusy,
    EngineError,
    Message,
    Prompt,
    PromptTooLong,
    Sampling,
)

__all__ = ["Engine", "EngineBusy", "EngineError", "Message", "Prompt", "PromptTooLong", "Sampling"]

"""The model on a CPU: `score` and `stream`, and nothing of Slack, roles or SQL."""

from bot.engine.errors import EngineBusy, EngineError, NoLabel, PromptTooLong
from bot.engine.interface import (
    AnsweredScores,
    CutOff,
    Engine,
    Message,
    Prompt,
    Sampling,
    count_prompt,
    count_text,
)

__all__ = [
    "AnsweredScores",
    "CutOff",
    "Engine",
    "EngineBusy",
    "EngineError",
    "Message",
    "NoLabel",
    "Prompt",
    "PromptTooLong",
    "Sampling",
    "count_prompt",
    "count_text",
]

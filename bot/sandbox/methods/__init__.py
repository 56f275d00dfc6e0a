"""The Web API methods the sandbox answers, in families; importing this registers them all."""

from bot.sandbox.methods import (
    apps,
    assistant,
    chat,
    conversations,
    files,
    reactions,
    streams,
    users,
    views,
)
from bot.sandbox.methods.registry import METHODS, Method, call

__all__ = [
    "METHODS",
    "Method",
    "apps",
    "assistant",
    "call",
    "chat",
    "conversations",
    "files",
    "reactions",
    "streams",
    "users",
    "views",
]

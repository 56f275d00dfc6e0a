"""What every surface, Slack or web, is given to answer with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.conversation import Conversations
from bot.engine import Engine
from bot.roles import Role
from bot.storage import Storage
from config.settings import Settings

if TYPE_CHECKING:
    from bot.emotion import Emotions


@dataclass
class Services:
    """One bot's working parts, opened by `bot.__main__` and closed by it."""

    settings: Settings
    roles: Mapping[str, Role]
    engine: Engine
    emotions: Emotions
    conversations: Conversations
    storage: Storage

"""What every surface, Slack or web, is given to answer with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bot.conversation import Conversations
from bot.emotion import EmotionClassifier
from bot.engine import Engine
from bot.roles import Role
from bot.storage import Storage
from config.settings import Settings


@dataclass
class Services:
    """One bot's working parts, opened by `bot.app.run` and closed by it."""

    settings: Settings
    roles: Mapping[str, Role]
    engine: Engine
    classifier: EmotionClassifier
    conversations: Conversations
    storage: Storage

"""Model directories: found, fetched and checked before anything is loaded."""

from bot.models.checking import check_model
from bot.models.errors import ModelError
from bot.models.finding import find_model

__all__ = ["ModelError", "check_model", "find_model"]

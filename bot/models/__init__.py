"""Model directories: found, fetched and checked before anything is loaded."""

from bot.models.catalogue import ModelError, find_model
from bot.models.check import check_model, find_checked_model

__all__ = ["ModelError", "check_model", "find_checked_model", "find_model"]

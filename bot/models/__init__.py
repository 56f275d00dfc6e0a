"""Model directories: found, fetched and checked before anything is loaded."""

from bot.models.finding import ModelError, check_model, find_model

__all__ = ["ModelError", "check_model", "find_model"]

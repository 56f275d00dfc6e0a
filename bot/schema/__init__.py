"""The tables of the database, and under `versions` the steps that bring an older one up to date."""

from bot.schema.tables import Base, CheckpointRow, FeedbackRow, RequestRow, SettingsRow, ThreadRow, TurnRow

NEWEST = "0002"  # the last of the steps

__all__ = [
    "NEWEST",
    "Base",
    "CheckpointRow",
    "FeedbackRow",
    "RequestRow",
    "SettingsRow",
    "ThreadRow",
    "TurnRow",
]

"""The database: opened, brought up to date, and every query on it. SQLite, or PostgreSQL for many hosts."""

from __future__ import annotations

from bot.storage.database import StorageError
from bot.storage.marks import Marks
from bot.storage.people import People
from bot.storage.records import Feedback, Request, Thread, Turn, UserSettings
from bot.storage.requests import Requests
from bot.storage.threads import Threads
from bot.storage.turns import Turns
from bot.storage.upkeep import Upkeep


class Storage(Turns, Threads, Requests, People, Marks, Upkeep):
    """All queries. Open one with `await Storage.open(url)`; every method is one short transaction.

    Every method raises StorageError when the database is locked, full, read-only, damaged or away.
    """


__all__ = ["Feedback", "Request", "Storage", "StorageError", "Thread", "Turn", "UserSettings"]

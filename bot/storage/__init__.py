"""The database: opened, brought up to date, and every query on it. SQLite, or PostgreSQL for many hosts."""

from __future__ import annotations

from bot.storage.accepted_requests import AcceptedRequests
from bot.storage.database import StorageError
from bot.storage.people import People
from bot.storage.records import Feedback, Request, Thread, Turn, UserSettings
from bot.storage.retention import Retention
from bot.storage.sole_owner import own
from bot.storage.threads import Threads
from bot.storage.turns import Turns


class Storage(Turns, Threads, AcceptedRequests, People, Retention):
    """All queries. Open one with `await Storage.open(url)`; every method is one short transaction.

    Every method raises StorageError when the database is locked, full, read-only, damaged or away.
    """


__all__ = ["Feedback", "Request", "Storage", "StorageError", "Thread", "Turn", "UserSettings", "own"]

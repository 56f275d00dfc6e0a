"""An SQLite file belongs to one running bot: an OS lock beside it, which ends with the process."""

from __future__ import annotations

from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from bot.storage.database import StorageError, sqlite_path


def own(database_url: str) -> BaseFileLock | None:
    """Take an SQLite file for this process until it ends, or `release` is called; None for other databases.

    Two bots on one file would both answer what is open in it. Backups and other readers need no lock.
    Raises StorageError where another bot has it.
    """
    file = sqlite_path(database_url)
    if file is None:
        return None
    file = file.resolve()  # one file, by whatever way it is named
    lock = FileLock(file.with_name(file.name + ".lock"))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise StorageError(
            f"another bot is running on {_shown(file)}, and an SQLite file serves one: stop that bot, give "
            "this one another DATABASE_URL, or let both use PostgreSQL (DATABASE_URL=postgresql+asyncpg://...)"
        ) from None
    except OSError as problem:
        reason = f"{problem.strerror}; check its directory"
        raise StorageError(f"{_shown(file)} cannot be used: {reason}") from None
    return lock


def _shown(file: Path) -> str:
    """The file as a person would name it here."""
    here = Path.cwd()
    return str(file.relative_to(here) if file.is_relative_to(here) else file)

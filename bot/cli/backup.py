"""`backup`: copy the database into a new file, also while the bot runs."""

from __future__ import annotations

import argparse
import contextlib
import os
import sqlite3
from pathlib import Path

from bot.storage import StorageError
from bot.storage.database import sqlite_path
from config.settings import Settings


def run(options: argparse.Namespace, settings: Settings) -> None:
    """Copy, and say how large the copy is and how it is used."""
    size = back_up(settings.database_url, options.file)
    print(f"{options.file}: {size:,} bytes; set DATABASE_URL=sqlite+aiosqlite:///FILE to use it")


def back_up(database_url: str, target: Path) -> int:
    """Copy an SQLite database into the new file `target` as it is at one moment; its size in bytes.

    The copy is whole or not there. Raises StorageError where there is nothing to copy, `target` stands
    already, or either side cannot be used.
    """
    source = sqlite_path(database_url)
    if source is None:
        raise StorageError("only an SQLite file is copied here: back up PostgreSQL with pg_dump")
    if not source.is_file():
        raise StorageError(f"{source} is not there: DATABASE_URL names the database to copy")
    if target.exists():
        raise StorageError(f"{target} stands already and is not overwritten: name another file")
    partial = target.with_name(target.name + ".partial")
    try:
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)):
            pass  # what people wrote is for the owner's eyes
        _copy(source, partial)
        os.replace(partial, target)
    except (sqlite3.Error, OSError) as problem:
        with contextlib.suppress(OSError):  # where nothing can be written, nothing was
            partial.unlink(missing_ok=True)
        reason = f"{problem.strerror}: choose another place" if isinstance(problem, OSError) else problem
        raise StorageError(f"{source} cannot be copied to {target}: {reason}") from None
    return target.stat().st_size


def _copy(source: Path, target: Path) -> None:
    reading = sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, timeout=30)
    writing = sqlite3.connect(target)
    try:
        reading.backup(writing)  # in one step: readers keep nobody from writing
        writing.execute("PRAGMA journal_mode=DELETE")  # one file is the whole copy
        found = writing.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(f"the database is damaged: {found}")
    finally:
        writing.close()
        reading.close()

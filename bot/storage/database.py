"""The connection to the database: opened, upgraded and checked; and checkpoints, which it is checked with."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import aiosqlite
from sqlalchemy import Connection, event, func, inspect, select, table
from sqlalchemy import column as named
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from bot import schema
from bot.app import retry
from bot.schema import CheckpointRow

log = logging.getLogger(__name__)

BUSY_SECONDS = 8  # another process may hold SQLite's lock this long
AWAY_SECONDS = 60.0  # PostgreSQL may be away this long, to be restarted, until a query fails
AWAY_PAUSE = 2.0  # seconds between two tries meanwhile, at most
# PostgreSQL's codes for a server that stops, starts, lost its connection or has none to spare for now.
_AWAY = ("08", "57P", "53300")
_FAILURES = (OSError, asyncio.TimeoutError)  # of the way to the server

_upgrading = threading.Lock()
_STEPS_LOCK = 0x616C6C5F696E5F31  # a number that is this bot's alone among a server's advisory locks

_Opened = TypeVar("_Opened", bound="Database")
_Any = TypeVar("_Any", bound="Database")
_Given = ParamSpec("_Given")
_Found = TypeVar("_Found")


class StorageError(RuntimeError):
    """The database cannot be used; the message says which one, why, and the mend."""


class ServerAway(StorageError):
    """PostgreSQL cannot be reached for now: it is restarted, or the way to it is broken."""


class _Newer(Exception):
    """The database has steps that this version does not know."""


def transaction(
    query: Callable[Concatenate[_Any, _Given], Coroutine[Any, Any, _Found]],
) -> Callable[Concatenate[_Any, _Given], Coroutine[Any, Any, _Found]]:
    """A query that outlasts a restart of the server: cut off, it is made again, up to AWAY_SECONDS.

    The server may have committed what it was cut off in, so a query must come to the same when made twice.
    """

    @functools.wraps(query)
    async def patient(self: _Any, /, *given: _Given.args, **named: _Given.kwargs) -> _Found:
        until, attempt = time.monotonic() + AWAY_SECONDS, 0
        while True:
            try:
                return await query(self, *given, **named)
            except ServerAway as problem:
                if time.monotonic() > until:
                    raise
                if attempt == 0:
                    log.warning("%s; it is waited for", problem)
            await asyncio.sleep(retry.pause(attempt, AWAY_PAUSE))
            attempt += 1

    return patient


class Database:
    """One open database. `problem` says why the last write failed; None while writes succeed."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._on_sqlite = engine.dialect.name == "sqlite"
        self._insert = (sqlite if self._on_sqlite else postgresql).insert  # both know ON CONFLICT
        self.problem: str | None = None
        # SQLite has one writer at a time: waiting here is fair, waiting in SQLite is a lottery.
        self._turn = asyncio.Lock() if self._on_sqlite else contextlib.nullcontext()

    @classmethod
    async def open(cls: type[_Opened], database_url: str) -> _Opened:
        """The database at `database_url`, created where missing and brought up to date.

        Raises StorageError for a URL, file or server that cannot be used.
        """
        engine = _create_engine(database_url)
        shown = make_url(database_url).render_as_string(hide_password=True)
        try:
            async with engine.begin() as connection:
                await connection.run_sync(_examine)
                async with _one_at_a_time():
                    await connection.run_sync(_upgrade)
            opened = cls(engine)
            await opened.check()
        except _Newer as problem:
            await engine.dispose()
            raise StorageError(
                f"{shown} was written by a newer version of this bot: {problem}; "
                "start that version, or set DATABASE_URL to another database"
            ) from None
        except (SQLAlchemyError, OSError, StorageError) as problem:
            await engine.dispose()
            raise StorageError(f"{shown} cannot be used: {_reason(problem)}") from None
        return opened

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()

    async def check(self) -> None:
        """Raise StorageError unless the database takes writes: something is really written."""
        await self.set_checkpoint("checked", time.time())

    @transaction
    async def set_checkpoint(self, name: str, at: float) -> None:
        """Store under `name` a time (seconds since 1970) that may not be lost with the process."""
        change = self._insert(CheckpointRow).values(name=name, at=at)
        change = change.on_conflict_do_update(index_elements=["name"], set_={"at": at})
        async with self._write() as connection:
            await connection.execute(change)

    @transaction
    async def checkpoint(self, name: str) -> float | None:
        """The time stored under `name`, in seconds since 1970, or None."""
        async with self._read() as connection:
            found = await connection.execute(select(CheckpointRow.at).where(CheckpointRow.name == name))
            return found.scalar_one_or_none()

    @transaction
    async def checkpoints(self, prefix: str) -> dict[str, float]:
        """All times stored under names that begin with `prefix`, by the rest of the name, newest first."""
        rows = select(CheckpointRow).where(CheckpointRow.name.startswith(prefix, autoescape=True))
        async with self._read() as connection:
            found = (await connection.execute(rows.order_by(CheckpointRow.at.desc()))).all()
        return {row.name.removeprefix(prefix): row.at for row in found}

    @contextlib.asynccontextmanager
    async def _write(self) -> AsyncIterator[AsyncConnection]:
        """One transaction that writes. Raises StorageError where it fails; then nothing was written."""
        try:
            async with self._turn, self._engine.begin() as connection:
                yield connection
        except (SQLAlchemyError, *_FAILURES) as problem:
            self.problem = _reason(problem)
            raise self._kind(problem)(f"the database does not take writes: {self.problem}") from None
        self.problem = None

    @contextlib.asynccontextmanager
    async def _read(self) -> AsyncIterator[AsyncConnection]:
        """One transaction that reads. Raises StorageError where it fails."""
        try:
            async with self._engine.connect() as connection:
                yield connection
        except (SQLAlchemyError, *_FAILURES) as problem:
            self.problem = _reason(problem)
            raise self._kind(problem)(f"the database cannot be read: {self.problem}") from None

    def _kind(self, problem: Exception) -> type[StorageError]:
        """Whether the server is away for now, or the database is out of order."""
        if self._on_sqlite:
            return StorageError
        if isinstance(problem, DBAPIError):
            code = str(getattr(problem.orig, "sqlstate", None))
            return ServerAway if problem.connection_invalidated or code.startswith(_AWAY) else StorageError
        return ServerAway if isinstance(problem, _FAILURES) else StorageError

    async def _scrub(self) -> None:
        """Leave no bytes of what was deleted: neither in SQLite's log nor as free pages of its file."""
        if not self._on_sqlite:
            return
        try:
            async with self._turn, self._engine.connect() as opened:
                raw: Any = (await opened.get_raw_connection()).driver_connection
                for work in ("incremental_vacuum", "wal_checkpoint(TRUNCATE)"):
                    await raw.execute_fetchall(f"PRAGMA {work}")
        except (SQLAlchemyError, sqlite3.Error, OSError) as problem:  # the next one scrubs again
            log.warning("deleted text may stay in the database's free pages for now: %s", problem)


def sqlite_path(database_url: str) -> Path | None:
    """The file of an SQLite database; None for one in memory or on a server. Raises StorageError."""
    url = _parse(database_url)
    if not url.drivername.startswith("sqlite") or not url.database or url.database == ":memory:":
        return None
    return Path(url.database)


def _parse(database_url: str) -> Any:
    try:
        return make_url(database_url)
    except ArgumentError:
        raise StorageError(
            "DATABASE_URL is not a database address: sqlite+aiosqlite:///data/bot.sqlite3 is one"
        ) from None


def _parse_json(text: str) -> Any:
    """The value; None for what is no JSON, so that one damaged cell does not hide the other rows."""
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None


def _create_engine(database_url: str) -> AsyncEngine:
    url = _parse(database_url)
    if url.drivername == "postgresql+asyncpg":
        return create_async_engine(url, pool_pre_ping=True, hide_parameters=True)  # errors tell no messages
    if url.drivername != "sqlite+aiosqlite":
        raise StorageError(
            f"DATABASE_URL must begin with sqlite+aiosqlite:// or postgresql+asyncpg://, not {url.drivername}"
        )
    if url.database and url.database != ":memory:":
        try:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise StorageError(f"{url.database}: its directory cannot be made: {problem.strerror}") from None
    engine = create_async_engine(
        url,
        connect_args={"timeout": BUSY_SECONDS},
        hide_parameters=True,
        json_deserializer=_parse_json,  # PostgreSQL refuses what is no JSON, SQLite keeps it
    )

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        connection.run_async(_configure)

    return engine


async def _configure(connection: aiosqlite.Connection) -> None:
    """A new connection to SQLite. Raises sqlite3.Error."""
    run = connection.execute_fetchall
    await run("PRAGMA auto_vacuum=INCREMENTAL")  # counts for a new file only, before anything is in it
    await _use_write_ahead_log(connection)
    await run("PRAGMA synchronous=FULL")  # an acknowledged request survives a power cut
    await run("PRAGMA foreign_keys=ON")
    await run(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
    await run("PRAGMA secure_delete=ON")  # what was deleted leaves no bytes in the file


async def _use_write_ahead_log(connection: aiosqlite.Connection) -> None:
    """Of two processes that open a new file at once, SQLite refuses one here without waiting."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            await connection.execute_fetchall("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as problem:
            if "locked" not in str(problem) or time.monotonic() > until:
                raise
        else:
            return
        await asyncio.sleep(0.01)


def _examine(connection: Connection) -> None:
    """Look through an SQLite file for damage before it is written to."""
    if connection.dialect.name != "sqlite":
        return
    found = [row[0] for row in connection.exec_driver_sql("PRAGMA quick_check(1)").all()]
    if found != ["ok"]:
        raise StorageError(f"database disk image is malformed ({found[0]})")


@contextlib.asynccontextmanager
async def _one_at_a_time() -> AsyncIterator[None]:
    """Alembic knows one upgrade a process: of two at once, each would write into the other's database."""
    while not _upgrading.acquire(blocking=False):  # noqa: ASYNC110  an Event belongs to one loop
        await asyncio.sleep(0.01)
    try:
        yield
    finally:
        _upgrading.release()


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":  # of several bots that start at once, one takes the steps
        connection.execute(select(func.pg_advisory_xact_lock(_STEPS_LOCK)))
    if _is_newest(connection):
        return
    from alembic import command  # half of the time that a start needs for the database
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    if connection.dialect.name == "sqlite":  # all steps or none, and one process at a time
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    try:
        command.upgrade(config, "head")
    except CommandError as problem:
        raise _Newer(str(problem)) from None


def _is_newest(connection: Connection) -> bool:
    """Whether the last step is the one that was taken last."""
    if not inspect(connection).has_table("alembic_version"):
        return False
    found: Any = connection.execute(select(named("version_num")).select_from(table("alembic_version")))
    return [str(taken) for (taken,) in found] == [schema.NEWEST]


_MENDS = {
    "locked": "another process is holding it; stop that one",
    "readonly": "give this user the right to write the file and its directory",
    "full": "make room on the disk",
    "malformed": "put a backup in its place (`python -m bot backup` makes them)",
    "not a database": "put a backup in its place, or set DATABASE_URL to another file",
    "unable to open": "check DATABASE_URL and the owner of the file and its directory",
}


def _reason(problem: BaseException) -> str:
    """Why it failed, with the mend where the words tell it."""
    text = str(getattr(problem, "orig", None) or problem).strip() or type(problem).__name__
    if isinstance(getattr(problem, "orig", None), sqlite3.OperationalError) and "disk I/O" in text:
        return f"{text}; check the disk"
    if "the database does not take writes: " in text:
        return text.partition("the database does not take writes: ")[2]
    mend = next((mend for sign, mend in _MENDS.items() if sign in text), "check DATABASE_URL and the server")
    return f"{' '.join(text.split())}; {mend}"

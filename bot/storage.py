"""The database: opened, brought up to date, and every query on it. SQLite, or PostgreSQL for many hosts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, and_, delete, event, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from bot import schema
from bot.schema import FeedbackRow, RequestRow, SettingsRow, ThreadRow, TurnRow

UNFINISHED = ("received", "answering")


class StorageError(RuntimeError):
    """The database cannot be used; the message says which one, why, and the mend."""


@dataclass(frozen=True)
class Turn:
    """One thing said. `at` is in seconds since 1970; `ts` is the question's id, also on its answer."""

    speaker: str  # user or assistant
    text: str
    author: str | None = None
    author_id: str | None = None
    ts: str | None = None
    at: float = 0.0
    role: str = "chat"


@dataclass(frozen=True)
class Thread:
    """What is remembered of a thread beside its turns."""

    thread: str
    owner: str | None = None
    joined: bool = False
    trimmed: bool = False
    forgotten_at: float | None = None


@dataclass(frozen=True)
class Request:
    """One accepted request. `key` is unique for the thing asked; those of one `thread` keep their order."""

    key: str
    thread: str
    kind: str
    payload: dict[str, Any]
    user: str | None = None
    state: str = "received"
    answer_ts: str | None = None
    problem: str | None = None
    received_at: float = 0.0


@dataclass(frozen=True)
class Feedback:
    """A thumb up (1) or down (-1) by one person on one answer, with what was asked and answered."""

    thread: str
    answer_ts: str
    user: str
    verdict: int
    question: str | None
    answer: str | None
    at: float


@dataclass(frozen=True)
class UserSettings:
    """A person's choices; None is the bot's default."""

    language: str | None = None
    neutral: bool | None = None
    follow: bool | None = None


class Storage:
    """All queries. Open one with `await Storage.open(url)`; every method is one short transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        dialect = postgresql if engine.dialect.name == "postgresql" else sqlite
        self._insert = dialect.insert  # both know ON CONFLICT

    @classmethod
    async def open(cls, database_url: str) -> Storage:
        """The database at `database_url`, created where missing and brought up to date.

        Raises StorageError for a URL, file or server that cannot be used.
        """
        engine = _create_engine(database_url)
        try:
            async with engine.begin() as connection:
                await connection.run_sync(_upgrade)
        except CommandError as problem:
            await engine.dispose()
            raise StorageError(
                f"{_shown(database_url)} was written by a newer version of this bot: {problem}; "
                "start that version, or set DATABASE_URL to another database"
            ) from None
        except (DBAPIError, OSError) as problem:
            await engine.dispose()
            raise StorageError(
                f"{_shown(database_url)} cannot be used: {getattr(problem, 'orig', None) or problem}; "
                "check DATABASE_URL, the file's owner and the room on the disk"
            ) from None
        return cls(engine)

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()

    async def check(self) -> None:
        """Raise StorageError unless the database answers and takes writes."""
        try:
            async with self._engine.begin() as connection:
                await connection.execute(update(ThreadRow).where(ThreadRow.thread == "").values(used_at=0.0))
        except DBAPIError as problem:
            raise StorageError(f"the database does not take writes: {problem.orig}") from None

    # Turns

    async def turns(self, thread: str, before: Turn | None = None, limit: int = 400) -> list[Turn]:
        """The newest `limit` turns of a thread, oldest first; with `before`, only those ahead of it."""
        rows = select(TurnRow).where(TurnRow.thread == thread)
        if before is not None:
            rows = rows.where(TurnRow.at < before.at)
        rows = rows.order_by(TurnRow.at.desc(), TurnRow.id.desc()).limit(limit)
        async with self._engine.connect() as connection:
            found = (await connection.execute(rows)).all()
        return [_turn(row) for row in reversed(found)]

    async def ask(self, thread: str, turn: Turn) -> Turn:
        """Store a question and return it as stored. One already stored under its `ts` keeps its place,
        takes the new text, and loses its answer."""
        async with self._engine.begin() as connection:
            if turn.ts is not None:
                mine = and_(TurnRow.thread == thread, TurnRow.ts == turn.ts)
                await connection.execute(delete(TurnRow).where(mine, TurnRow.speaker == "assistant"))
                found = (await connection.execute(select(TurnRow).where(mine))).first()
                if found is not None:
                    await connection.execute(update(TurnRow).where(mine).values(text=turn.text))
                    return replace(_turn(found), text=turn.text)
            turn = replace(turn, at=turn.at or time.time())
            await connection.execute(self._insert(TurnRow).values(_turn_values(thread, turn)))
            return turn

    async def answer(self, thread: str, question: Turn, text: str) -> None:
        """Store the answer to `question`, right behind it."""
        turn = replace(question, speaker="assistant", text=text, author=None, author_id=None)
        async with self._engine.begin() as connection:
            await connection.execute(self._insert(TurnRow).values(_turn_values(thread, turn)))

    async def absorb(self, thread: str, turns: Sequence[Turn]) -> None:
        """Store turns read from elsewhere, as far as they are not known and not forgotten."""
        if not turns:
            return
        async with self._engine.begin() as connection:
            rows = select(TurnRow.ts, TurnRow.speaker).where(TurnRow.thread == thread)
            known = {(row.ts, row.speaker) for row in (await connection.execute(rows)).all()}
            forgotten = (
                await connection.execute(select(ThreadRow.forgotten_at).where(ThreadRow.thread == thread))
            ).scalar_one_or_none()
            new = [
                _turn_values(thread, turn)
                for turn in turns
                if (turn.ts, turn.speaker) not in known and turn.at > (forgotten or 0.0)
            ]
            if new:
                await connection.execute(self._insert(TurnRow), new)

    async def edit(self, thread: str, ts: str, text: str | None) -> None:
        """A person changed a message (None: deleted it)."""
        mine = and_(TurnRow.thread == thread, TurnRow.ts == ts, TurnRow.speaker == "user")
        change = (
            delete(TurnRow).where(mine) if text is None else update(TurnRow).where(mine).values(text=text)
        )
        async with self._engine.begin() as connection:
            await connection.execute(change)

    async def forget(self, thread: str, at: float | None = None) -> None:
        """Delete a thread's turns and never read older ones again; feedback on them loses its text."""
        now = time.time() if at is None else at
        row = {"thread": thread, "joined": False, "trimmed": False, "forgotten_at": now, "used_at": now}
        change = self._insert(ThreadRow).values(row)
        change = change.on_conflict_do_update(
            index_elements=["thread"], set_={"forgotten_at": now, "trimmed": False, "used_at": now}
        )
        async with self._engine.begin() as connection:
            await connection.execute(delete(TurnRow).where(TurnRow.thread == thread))
            await connection.execute(
                update(FeedbackRow).where(FeedbackRow.thread == thread).values(question=None, answer=None)
            )
            await connection.execute(change)

    # Threads

    async def thread(self, thread: str) -> Thread | None:
        """What is remembered of a thread, or None."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(ThreadRow).where(ThreadRow.thread == thread))).first()
        if row is None:
            return None
        return Thread(row.thread, row.owner, row.joined, row.trimmed, row.forgotten_at)

    async def join(self, thread: str, owner: str | None = None) -> None:
        """Note that the bot answers in this thread; the first owner stays."""
        row = {"thread": thread, "owner": owner, "joined": True, "trimmed": False, "used_at": time.time()}
        change = self._insert(ThreadRow).values(row)
        change = change.on_conflict_do_update(
            index_elements=["thread"],
            set_={
                "joined": True,
                "used_at": row["used_at"],
                "owner": func.coalesce(ThreadRow.owner, change.excluded.owner),
            },
        )
        async with self._engine.begin() as connection:
            await connection.execute(change)

    async def stay_out(self, thread: str) -> None:
        """Note that the bot has no part in this thread, unless it is known already."""
        row = {"thread": thread, "joined": False, "trimmed": False, "used_at": time.time()}
        change = self._insert(ThreadRow).values(row).on_conflict_do_nothing(index_elements=["thread"])
        async with self._engine.begin() as connection:
            await connection.execute(change)

    async def owned(self, prefix: str, owner: str) -> list[str]:
        """Threads whose key begins with `prefix` that this person asked the bot into."""
        rows = select(ThreadRow.thread).where(
            ThreadRow.thread.startswith(prefix, autoescape=True), ThreadRow.owner == owner
        )
        async with self._engine.connect() as connection:
            return list((await connection.execute(rows)).scalars())

    async def joined(self, prefix: str, since: float) -> list[str]:
        """Threads whose key begins with `prefix` where the bot was at work after `since`."""
        rows = select(ThreadRow.thread).where(
            ThreadRow.thread.startswith(prefix, autoescape=True), ThreadRow.joined, ThreadRow.used_at > since
        )
        async with self._engine.connect() as connection:
            return list((await connection.execute(rows)).scalars())

    async def note_trimmed(self, thread: str) -> bool:
        """Note that the oldest turns no longer fit. True the first time, so that it is said once."""
        row = {"thread": thread, "joined": False, "trimmed": True, "used_at": time.time()}
        change = self._insert(ThreadRow).values(row)
        change = change.on_conflict_do_update(
            index_elements=["thread"], set_={"trimmed": True}, where=ThreadRow.trimmed.is_(False)
        )
        async with self._engine.begin() as connection:
            return bool((await connection.execute(change.returning(ThreadRow.thread))).first())

    # Requests

    async def accept(self, request: Request) -> bool:
        """Store a request. False when one of its key is stored already: then there is nothing to do."""
        now = time.time()
        row = {
            "key": request.key,
            "thread": request.thread,
            "kind": request.kind,
            "user": request.user,
            "payload": request.payload,
            "state": "received",
            "received_at": request.received_at or now,
            "changed_at": now,
        }
        change = self._insert(RequestRow).values(row).on_conflict_do_nothing(index_elements=["key"])
        async with self._engine.begin() as connection:
            return bool((await connection.execute(change.returning(RequestRow.id))).first())

    async def withdraw(self, key: str) -> None:
        """Delete a request that turned out to be none."""
        async with self._engine.begin() as connection:
            await connection.execute(delete(RequestRow).where(RequestRow.key == key))

    async def advance(
        self, key: str, state: str, answer_ts: str | None = None, problem: str | None = None
    ) -> None:
        """Carry a request to its next state: received, answering, answered or failed."""
        values: dict[str, Any] = {"state": state, "changed_at": time.time()}
        if answer_ts is not None:
            values["answer_ts"] = answer_ts
        if problem is not None:
            values["problem"] = problem
        async with self._engine.begin() as connection:
            await connection.execute(update(RequestRow).where(RequestRow.key == key).values(values))

    async def request(self, key: str) -> Request | None:
        """One request by its key, or None."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(RequestRow).where(RequestRow.key == key))).first()
        return None if row is None else _request(row)

    async def unfinished(self) -> list[Request]:
        """Requests that were accepted and not yet answered, in the order they came."""
        rows = select(RequestRow).where(RequestRow.state.in_(UNFINISHED)).order_by(RequestRow.id)
        async with self._engine.connect() as connection:
            return [_request(row) for row in (await connection.execute(rows)).all()]

    # Feedback, settings, and what people may have deleted

    async def give_feedback(self, feedback: Feedback) -> None:
        """Store a thumb; a person's later one on the same answer replaces the earlier."""
        values = dict(vars(feedback))
        change = self._insert(FeedbackRow).values(values)
        change = change.on_conflict_do_update(
            index_elements=["thread", "answer_ts", "user"],
            set_={"verdict": feedback.verdict, "at": feedback.at},
        )
        async with self._engine.begin() as connection:
            await connection.execute(change)

    async def feedback(self) -> list[Feedback]:
        """All feedback, oldest first."""
        async with self._engine.connect() as connection:
            rows = (await connection.execute(select(FeedbackRow).order_by(FeedbackRow.id))).all()
        return [Feedback(r.thread, r.answer_ts, r.user, r.verdict, r.question, r.answer, r.at) for r in rows]

    async def settings(self, user: str) -> UserSettings:
        """A person's choices."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(SettingsRow).where(SettingsRow.user == user))).first()
        return UserSettings() if row is None else UserSettings(row.language, row.neutral, row.follow)

    async def save_settings(self, user: str, settings: UserSettings) -> None:
        """Store a person's choices."""
        values = dict(vars(settings))
        change = self._insert(SettingsRow).values(user=user, **values)
        change = change.on_conflict_do_update(index_elements=["user"], set_=values)
        async with self._engine.begin() as connection:
            await connection.execute(change)

    async def delete_user(self, user: str) -> list[str]:
        """Delete what a person said, was answered, asked, judged and chose. The threads they were in."""
        mine = select(TurnRow.thread, TurnRow.ts).where(TurnRow.author_id == user)
        async with self._engine.begin() as connection:
            said = (await connection.execute(mine)).all()
            for row in said:
                if row.ts is not None:  # the answer quotes the question
                    await connection.execute(
                        delete(TurnRow).where(TurnRow.thread == row.thread, TurnRow.ts == row.ts)
                    )
            await connection.execute(delete(TurnRow).where(TurnRow.author_id == user))
            await connection.execute(delete(FeedbackRow).where(FeedbackRow.user == user))
            await connection.execute(delete(SettingsRow).where(SettingsRow.user == user))
            await connection.execute(
                delete(RequestRow).where(RequestRow.user == user, RequestRow.state.not_in(UNFINISHED))
            )
        return sorted({row.thread for row in said})

    async def expire(self, days: int, now: float | None = None) -> int:
        """Delete what is older than `days`; 0 keeps everything. How many turns went."""
        if days == 0:
            return 0
        limit = (time.time() if now is None else now) - days * 86_400
        old = [
            delete(RequestRow).where(
                RequestRow.received_at < limit,
                or_(RequestRow.state == "answered", RequestRow.state == "failed"),
            ),
            delete(FeedbackRow).where(FeedbackRow.at < limit),
            delete(ThreadRow).where(ThreadRow.used_at < limit),
        ]
        async with self._engine.begin() as connection:
            gone = (await connection.execute(delete(TurnRow).where(TurnRow.at < limit))).rowcount
            for change in old:
                await connection.execute(change)
        return int(gone)


def _create_engine(database_url: str) -> AsyncEngine:
    try:
        url = make_url(database_url)
    except ArgumentError:
        raise StorageError(f"DATABASE_URL {database_url!r} is not a database address") from None
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
    engine = create_async_engine(url, connect_args={"timeout": 10}, hide_parameters=True)

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")  # an acknowledged request survives a power cut
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA busy_timeout=10000")
        cursor.execute("PRAGMA secure_delete=ON")  # what was deleted leaves no bytes in the file
        cursor.close()

    return engine


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _shown(database_url: str) -> str:
    return make_url(database_url).render_as_string(hide_password=True)


def _turn(row: Any) -> Turn:
    return Turn(row.speaker, row.text, row.author, row.author_id, row.ts, row.at, row.role)


def _turn_values(thread: str, turn: Turn) -> dict[str, Any]:
    return {"thread": thread, **vars(turn)}


def _request(row: Any) -> Request:
    return Request(
        row.key,
        row.thread,
        row.kind,
        row.payload,
        row.user,
        row.state,
        row.answer_ts,
        row.problem,
        row.received_at,
    )

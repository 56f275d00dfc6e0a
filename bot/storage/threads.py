"""What is remembered of threads beside their turns."""

from __future__ import annotations

import time

from sqlalchemy import func, select

from bot.schema import ThreadRow
from bot.storage.database import Database, transaction
from bot.storage.records import Thread


class Threads(Database):
    """Queries on threads."""

    @transaction
    async def thread(self, thread: str) -> Thread | None:
        """What is remembered of a thread, or None."""
        async with self._read() as connection:
            row = (await connection.execute(select(ThreadRow).where(ThreadRow.thread == thread))).first()
        if row is None:
            return None
        return Thread(row.thread, row.owner, row.joined, row.trimmed, row.forgotten_at)

    @transaction
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
        async with self._write() as connection:
            await connection.execute(change)

    @transaction
    async def stay_out(self, thread: str) -> None:
        """Note that the bot has no part in this thread, unless it is known already."""
        row = {"thread": thread, "joined": False, "trimmed": False, "used_at": time.time()}
        change = self._insert(ThreadRow).values(row).on_conflict_do_nothing(index_elements=["thread"])
        async with self._write() as connection:
            await connection.execute(change)

    @transaction
    async def owned(self, prefix: str, owner: str) -> list[str]:
        """Threads whose key begins with `prefix` that this person asked the bot into."""
        rows = select(ThreadRow.thread).where(
            ThreadRow.thread.startswith(prefix, autoescape=True), ThreadRow.owner == owner
        )
        async with self._read() as connection:
            return list((await connection.execute(rows)).scalars())

    @transaction
    async def joined(self, prefix: str, since: float) -> list[str]:
        """Threads whose key begins with `prefix` where the bot was at work after `since`."""
        rows = select(ThreadRow.thread).where(
            ThreadRow.thread.startswith(prefix, autoescape=True), ThreadRow.joined, ThreadRow.used_at > since
        )
        async with self._read() as connection:
            return list((await connection.execute(rows)).scalars())

    @transaction
    async def note_trimmed(self, thread: str) -> bool:
        """Note that the oldest turns no longer fit. True the first time, so that it is said once."""
        row = {"thread": thread, "joined": False, "trimmed": True, "used_at": time.time()}
        change = self._insert(ThreadRow).values(row)
        change = change.on_conflict_do_update(
            index_elements=["thread"], set_={"trimmed": True}, where=ThreadRow.trimmed.is_(False)
        )
        async with self._write() as connection:
            return bool((await connection.execute(change.returning(ThreadRow.thread))).first())

"""What is deleted: everything that is too old, and everything of one person who wants it so."""

from __future__ import annotations

import time

from sqlalchemy import delete, select, update

from bot.schema import CheckpointRow, FeedbackRow, RequestRow, SettingsRow, ThreadRow, TurnRow
from bot.storage.accepted_requests import UNFINISHED
from bot.storage.database import Database, transaction


class Retention(Database):
    """Deletes across tables, and leaves no bytes of it in an SQLite file."""

    @transaction
    async def expire(self, days: int, now: float | None = None) -> int:
        """Delete what is older than `days`; 0 keeps everything. How many turns went."""
        if days == 0:
            return 0
        limit = (time.time() if now is None else now) - days * 86_400
        old = [
            delete(RequestRow).where(RequestRow.received_at < limit, RequestRow.state.not_in(UNFINISHED)),
            delete(FeedbackRow).where(FeedbackRow.at < limit),
            delete(ThreadRow).where(ThreadRow.used_at < limit),
            delete(CheckpointRow).where(CheckpointRow.at < limit),
        ]
        async with self._write() as connection:
            gone = (await connection.execute(delete(TurnRow).where(TurnRow.at < limit))).rowcount
            for change in old:
                await connection.execute(change)
        await self._scrub()
        return int(gone)

    @transaction
    async def delete_user(self, user: str) -> list[str]:
        """Delete what a person said, was answered, asked, judged and chose. The threads they were in."""
        mine = select(TurnRow.thread, TurnRow.ts, TurnRow.text).where(TurnRow.author_id == user)
        async with self._write() as connection:
            said = (await connection.execute(mine)).all()
            for row in said:
                quoted = update(FeedbackRow).where(
                    FeedbackRow.thread == row.thread, FeedbackRow.question == row.text
                )
                await connection.execute(quoted.values(question=None, answer=None))
                if row.ts is not None:  # the answer quotes the question
                    await connection.execute(
                        delete(TurnRow).where(TurnRow.thread == row.thread, TurnRow.ts == row.ts)
                    )
            await connection.execute(delete(TurnRow).where(TurnRow.author_id == user))
            await connection.execute(delete(FeedbackRow).where(FeedbackRow.user == user))
            await connection.execute(delete(SettingsRow).where(SettingsRow.user == user))
            await connection.execute(update(ThreadRow).where(ThreadRow.owner == user).values(owner=None))
            await connection.execute(
                delete(RequestRow).where(RequestRow.user == user, RequestRow.state.not_in(UNFINISHED))
            )
        await self._scrub()
        return sorted({row.thread for row in said})

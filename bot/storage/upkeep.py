"""What is done to the database as a whole."""

from __future__ import annotations

import time

from sqlalchemy import delete

from bot.schema import FeedbackRow, MarkRow, RequestRow, ThreadRow, TurnRow
from bot.storage.database import Database
from bot.storage.requests import UNFINISHED


class Upkeep(Database):
    """Deletes what is too old."""

    async def expire(self, days: int, now: float | None = None) -> int:
        """Delete what is older than `days`; 0 keeps everything. How many turns went."""
        if days == 0:
            return 0
        limit = (time.time() if now is None else now) - days * 86_400
        old = [
            delete(RequestRow).where(RequestRow.received_at < limit, RequestRow.state.not_in(UNFINISHED)),
            delete(FeedbackRow).where(FeedbackRow.at < limit),
            delete(ThreadRow).where(ThreadRow.used_at < limit),
            delete(MarkRow).where(MarkRow.at < limit),
        ]
        async with self._write() as connection:
            gone = (await connection.execute(delete(TurnRow).where(TurnRow.at < limit))).rowcount
            for change in old:
                await connection.execute(change)
        await self._scrub()
        return int(gone)

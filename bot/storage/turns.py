"""What was said in conversations."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import and_, delete, select, update

from bot.schema import FeedbackRow, RequestRow, ThreadRow, TurnRow
from bot.storage.accepted_requests import UNFINISHED
from bot.storage.database import Database, transaction
from bot.storage.records import Turn


class Turns(Database):
    """Queries on turns."""

    @transaction
    async def turns(self, thread: str, before: Turn | None = None, limit: int = 400) -> list[Turn]:
        """The newest `limit` turns of a thread, oldest first; with `before`, only those ahead of it."""
        rows = select(TurnRow).where(TurnRow.thread == thread)
        if before is not None:
            rows = rows.where(TurnRow.at < before.at)
        rows = rows.order_by(TurnRow.at.desc(), TurnRow.id.desc()).limit(limit)
        async with self._read() as connection:
            found = (await connection.execute(rows)).all()
        return [_turn(row) for row in reversed(found)]

    @transaction
    async def ask(self, thread: str, turn: Turn) -> Turn:
        """Store a question and return it as stored. One already stored under its `ts` keeps its place,
        takes the new text, and loses its answer."""
        turn = replace(turn, at=turn.at or time.time())
        same = TurnRow.at == turn.at if turn.ts is None else TurnRow.ts == turn.ts
        mine = and_(TurnRow.thread == thread, same)
        async with self._write() as connection:
            await connection.execute(delete(TurnRow).where(mine, TurnRow.speaker == "assistant"))
            found = (await connection.execute(select(TurnRow).where(mine))).first()
            if found is not None:
                await connection.execute(update(TurnRow).where(mine).values(text=turn.text))
                return replace(_turn(found), text=turn.text)
            await connection.execute(self._insert(TurnRow).values(_turn_values(thread, turn)))
            return turn

    @transaction
    async def answer(self, thread: str, question: Turn, text: str) -> None:
        """Store the answer to `question`, right behind it, in place of one that is there."""
        turn = replace(question, speaker="assistant", text=text, author=None, author_id=None)
        mine = and_(TurnRow.thread == thread, TurnRow.at == turn.at, TurnRow.speaker == "assistant")
        async with self._write() as connection:
            await connection.execute(delete(TurnRow).where(mine))
            await connection.execute(self._insert(TurnRow).values(_turn_values(thread, turn)))

    @transaction
    async def absorb(self, thread: str, turns: Sequence[Turn]) -> None:
        """Store turns read from elsewhere, as far as they are not known and not forgotten."""
        if not turns:
            return
        async with self._write() as connection:
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

    @transaction
    async def edit(self, thread: str, ts: str, text: str | None) -> None:
        """A person changed a message (None: deleted it)."""
        mine = and_(TurnRow.thread == thread, TurnRow.ts == ts, TurnRow.speaker == "user")
        change = (
            delete(TurnRow).where(mine) if text is None else update(TurnRow).where(mine).values(text=text)
        )
        async with self._write() as connection:
            await connection.execute(change)

    @transaction
    async def retract(self, thread: str, ts: str) -> None:
        """Delete one question and its answer."""
        async with self._write() as connection:
            await connection.execute(delete(TurnRow).where(TurnRow.thread == thread, TurnRow.ts == ts))
        await self._scrub()

    @transaction
    async def forget(self, thread: str, at: float | None = None) -> None:
        """Delete a thread's turns and answered requests, and never read older ones again.

        Feedback on them stays and loses its text.
        """
        now = time.time() if at is None else at
        row = {"thread": thread, "joined": False, "trimmed": False, "forgotten_at": now, "used_at": now}
        change = self._insert(ThreadRow).values(row)
        change = change.on_conflict_do_update(
            index_elements=["thread"], set_={"forgotten_at": now, "trimmed": False, "used_at": now}
        )
        async with self._write() as connection:
            await connection.execute(delete(TurnRow).where(TurnRow.thread == thread))
            await connection.execute(
                update(FeedbackRow).where(FeedbackRow.thread == thread).values(question=None, answer=None)
            )
            await connection.execute(
                delete(RequestRow).where(RequestRow.thread == thread, RequestRow.state.not_in(UNFINISHED))
            )
            await connection.execute(change)
        await self._scrub()


def _turn(row: Any) -> Turn:
    return Turn(row.speaker, row.text, row.author, row.author_id, row.ts, row.at, row.role)


def _turn_values(thread: str, turn: Turn) -> dict[str, Any]:
    return {"thread": thread, **vars(turn)}

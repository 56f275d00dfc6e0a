"""Accepted requests and how far each one is."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, or_, select, update

from bot.schema import FeedbackRow, RequestRow
from bot.storage.database import Database, transaction
from bot.storage.records import Request

_OPEN = ("received", "answering")
UNFINISHED = (*_OPEN, "withdrawn")  # a withdrawn one's answer is still to be taken back


class AcceptedRequests(Database):
    """Queries on requests. Their payloads are opaque here: see bot.inbox.payloads."""

    @transaction
    async def accept(self, request: Request) -> bool:
        """Store a request, as `received` or another state. False when one of its key is stored already.

        One that was `received_at` the same moment is this very one, stored before the server was cut off.
        """
        now = time.time()
        row = {
            "key": request.key,
            "thread": request.thread,
            "kind": request.kind,
            "user": request.user,
            "payload": request.payload,
            "state": request.state,
            "received_at": request.received_at or now,
            "changed_at": now,
        }
        change = self._insert(RequestRow).values(row).on_conflict_do_nothing(index_elements=["key"])
        async with self._write() as connection:
            if (await connection.execute(change.returning(RequestRow.id))).first():
                return True
            known = select(RequestRow.received_at).where(RequestRow.key == request.key)
            return (await connection.execute(known)).scalar_one_or_none() == request.received_at

    @transaction
    async def revise(self, request: Request) -> None:
        """Store the kind and the payload of a request anew, unless it is withdrawn."""
        mine = update(RequestRow).where(RequestRow.key == request.key, RequestRow.state != "withdrawn")
        async with self._write() as connection:
            await connection.execute(mine.values(kind=request.kind, payload=request.payload))

    @transaction
    async def withdraw(self, key: str) -> None:
        """Delete a request that turned out to be none, or whose answer was taken back."""
        async with self._write() as connection:
            await connection.execute(delete(RequestRow).where(RequestRow.key == key))

    @transaction
    async def advance(
        self, key: str, state: str, answer_ts: str | None = None, problem: str | None = None
    ) -> None:
        """Carry a request to its next state: received, answering, withdrawn, answered or failed."""
        values: dict[str, Any] = {"state": state, "changed_at": time.time()}
        if answer_ts is not None:
            values["answer_ts"] = answer_ts
        if problem is not None:
            values["problem"] = problem
        mine = update(RequestRow).where(RequestRow.key == key)
        if state in UNFINISHED:  # a note that comes late takes nothing back
            mine = mine.where(RequestRow.state.in_(_OPEN))
        async with self._write() as connection:
            await connection.execute(mine.values(values))

    @transaction
    async def request(self, key: str) -> Request | None:
        """One request by its key, or None."""
        async with self._read() as connection:
            row = (await connection.execute(select(RequestRow).where(RequestRow.key == key))).first()
        return None if row is None else _request(row)

    @transaction
    async def finished(self, thread: str, key: str) -> list[Request]:
        """The finished requests of one message of a thread: `key`'s, and those that asked it again."""
        rows = select(RequestRow).where(_finished(thread, key)).order_by(RequestRow.id)
        async with self._read() as connection:
            return [_request(row) for row in (await connection.execute(rows)).all()]

    @transaction
    async def drop_finished(self, thread: str, key: str) -> None:
        """Delete the finished requests of one message. Feedback on their answers stays and loses its text."""
        answers = select(RequestRow.answer_ts).where(_finished(thread, key))
        judged = and_(FeedbackRow.thread == thread, FeedbackRow.answer_ts.in_(answers))
        async with self._write() as connection:
            await connection.execute(update(FeedbackRow).where(judged).values(question=None, answer=None))
            await connection.execute(delete(RequestRow).where(_finished(thread, key)))
        await self._scrub()

    @transaction
    async def unfinished(self) -> list[Request]:
        """Requests that were accepted and not yet answered or taken back, in the order they came."""
        rows = select(RequestRow).where(RequestRow.state.in_(UNFINISHED)).order_by(RequestRow.id)
        async with self._read() as connection:
            return [_request(row) for row in (await connection.execute(rows)).all()]


def _finished(thread: str, key: str) -> ColumnElement[bool]:
    same = or_(RequestRow.key == key, RequestRow.key.startswith(f"{key}:", autoescape=True))
    return and_(RequestRow.thread == thread, same, RequestRow.state.not_in(UNFINISHED))


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

"""Feedback and settings: what people say about answers, and what they choose."""

from __future__ import annotations

from sqlalchemy import select

from bot.schema import FeedbackRow, SettingsRow
from bot.storage.database import Database, transaction
from bot.storage.records import Feedback, UserSettings


class People(Database):
    """Queries on what belongs to a person."""

    @transaction
    async def give_feedback(self, feedback: Feedback) -> None:
        """Store a thumb; a person's later one on the same answer replaces the earlier."""
        values = dict(vars(feedback))
        change = self._insert(FeedbackRow).values(values)
        change = change.on_conflict_do_update(
            index_elements=["thread", "answer_ts", "user"],
            set_={"verdict": feedback.verdict, "at": feedback.at},
        )
        async with self._write() as connection:
            await connection.execute(change)

    @transaction
    async def feedback(self) -> list[Feedback]:
        """All feedback, oldest first."""
        async with self._read() as connection:
            rows = (await connection.execute(select(FeedbackRow).order_by(FeedbackRow.id))).all()
        return [Feedback(r.thread, r.answer_ts, r.user, r.verdict, r.question, r.answer, r.at) for r in rows]

    @transaction
    async def settings(self, user: str) -> UserSettings:
        """A person's choices."""
        async with self._read() as connection:
            row = (await connection.execute(select(SettingsRow).where(SettingsRow.user == user))).first()
        return UserSettings() if row is None else UserSettings(row.language, row.neutral, row.follow)

    @transaction
    async def save_settings(self, user: str, settings: UserSettings) -> None:
        """Store a person's choices."""
        values = dict(vars(settings))
        change = self._insert(SettingsRow).values(user=user, **values)
        change = change.on_conflict_do_update(index_elements=["user"], set_=values)
        async with self._write() as connection:
            await connection.execute(change)

"""What is stored, one class a table. A change here needs a new file under `versions`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Float, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# SQLite numbers rows by itself only where the key is called INTEGER.
_Number = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    """All tables' parent."""


class TurnRow(Base):
    """One thing said in a conversation. Within a thread, turns are in the order of (`at`, `id`)."""

    __tablename__ = "turns"
    __table_args__ = (Index("turns_by_thread", "thread", "at", "id"),)

    id: Mapped[int] = mapped_column(_Number, primary_key=True, autoincrement=True)
    thread: Mapped[str] = mapped_column(String(255))
    role: Mapped[str] = mapped_column(String(32))
    speaker: Mapped[str] = mapped_column(String(16))  # user or assistant
    author: Mapped[str | None] = mapped_column(String(255))  # the name others see
    author_id: Mapped[str | None] = mapped_column(String(255), index=True)
    text: Mapped[str] = mapped_column(Text)
    ts: Mapped[str | None] = mapped_column(String(64))  # a question's own id; an answer has its question's
    at: Mapped[float] = mapped_column(Float(53))  # seconds since 1970; an answer has its question's


class ThreadRow(Base):
    """What is remembered of a thread beside its turns."""

    __tablename__ = "threads"

    thread: Mapped[str] = mapped_column(String(255), primary_key=True)
    owner: Mapped[str | None] = mapped_column(String(255))  # who asked the bot in
    joined: Mapped[bool] = mapped_column(Boolean, default=False)  # the bot answers here
    trimmed: Mapped[bool] = mapped_column(Boolean, default=False)  # told that the oldest turns went
    forgotten_at: Mapped[float | None] = mapped_column(Float(53))  # nothing older is read again
    used_at: Mapped[float] = mapped_column(Float(53), index=True)


class RequestRow(Base):
    """One accepted request: stored before it is acknowledged, answered once."""

    __tablename__ = "requests"

    id: Mapped[int] = mapped_column(_Number, primary_key=True, autoincrement=True)
    key: Mapped[str] = mapped_column(String(255), unique=True)  # of the thing asked, not of its delivery
    thread: Mapped[str] = mapped_column(String(255))
    kind: Mapped[str] = mapped_column(String(64))
    user: Mapped[str | None] = mapped_column(String(255), index=True)
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(16), index=True)
    answer_ts: Mapped[str | None] = mapped_column(String(64))
    problem: Mapped[str | None] = mapped_column(Text)
    received_at: Mapped[float] = mapped_column(Float(53), index=True)
    changed_at: Mapped[float] = mapped_column(Float(53))


class FeedbackRow(Base):
    """A thumb up (1) or down (-1) on one answer by one person."""

    __tablename__ = "feedback"
    __table_args__ = (UniqueConstraint("thread", "answer_ts", "user", name="feedback_once"),)

    id: Mapped[int] = mapped_column(_Number, primary_key=True, autoincrement=True)
    thread: Mapped[str] = mapped_column(String(255))
    answer_ts: Mapped[str] = mapped_column(String(64))
    user: Mapped[str] = mapped_column(String(255), index=True)
    verdict: Mapped[int] = mapped_column(Integer)
    question: Mapped[str | None] = mapped_column(Text)
    answer: Mapped[str | None] = mapped_column(Text)
    at: Mapped[float] = mapped_column(Float(53), index=True)


class SettingsRow(Base):
    """What a person chose on the Home tab; None is the bot's own default."""

    __tablename__ = "user_settings"

    user: Mapped[str] = mapped_column(String(255), primary_key=True)
    language: Mapped[str | None] = mapped_column(String(8))
    neutral: Mapped[bool | None] = mapped_column(Boolean)
    follow: Mapped[bool | None] = mapped_column(Boolean)


class CheckpointRow(Base):
    """A time that outlives the process, such as how far the messages of a workspace have been read."""

    __tablename__ = "marks"

    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    at: Mapped[float] = mapped_column(Float(53))

"""The first schema: turns, threads, requests, feedback and user settings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels = None
depends_on = None

_number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "turns",
        sa.Column("id", _number, primary_key=True, autoincrement=True),
        sa.Column("thread", sa.String(255), nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("speaker", sa.String(16), nullable=False),
        sa.Column("author", sa.String(255)),
        sa.Column("author_id", sa.String(255)),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("ts", sa.String(64)),
        sa.Column("at", sa.Float(53), nullable=False),
    )
    op.create_index("turns_by_thread", "turns", ["thread", "at", "id"])
    op.create_index("ix_turns_author_id", "turns", ["author_id"])
    op.create_table(
        "threads",
        sa.Column("thread", sa.String(255), primary_key=True),
        sa.Column("owner", sa.String(255)),
        sa.Column("joined", sa.Boolean(), nullable=False),
        sa.Column("trimmed", sa.Boolean(), nullable=False),
        sa.Column("forgotten_at", sa.Float(53)),
        sa.Column("used_at", sa.Float(53), nullable=False),
    )
    op.create_index("ix_threads_used_at", "threads", ["used_at"])
    op.create_table(
        "requests",
        sa.Column("id", _number, primary_key=True, autoincrement=True),
        sa.Column("key", sa.String(255), nullable=False, unique=True),
        sa.Column("thread", sa.String(255), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("user", sa.String(255)),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("answer_ts", sa.String(64)),
        sa.Column("problem", sa.Text()),
        sa.Column("received_at", sa.Float(53), nullable=False),
        sa.Column("changed_at", sa.Float(53), nullable=False),
    )
    op.create_index("ix_requests_state", "requests", ["state"])
    op.create_index("ix_requests_user", "requests", ["user"])
    op.create_index("ix_requests_received_at", "requests", ["received_at"])
    op.create_table(
        "feedback",
        sa.Column("id", _number, primary_key=True, autoincrement=True),
        sa.Column("thread", sa.String(255), nullable=False),
        sa.Column("answer_ts", sa.String(64), nullable=False),
        sa.Column("user", sa.String(255), nullable=False),
        sa.Column("verdict", sa.Integer(), nullable=False),
        sa.Column("question", sa.Text()),
        sa.Column("answer", sa.Text()),
        sa.Column("at", sa.Float(53), nullable=False),
        sa.UniqueConstraint("thread", "answer_ts", "user", name="feedback_once"),
    )
    op.create_index("ix_feedback_user", "feedback", ["user"])
    op.create_index("ix_feedback_at", "feedback", ["at"])
    op.create_table(
        "user_settings",
        sa.Column("user", sa.String(255), primary_key=True),
        sa.Column("language", sa.String(8)),
        sa.Column("neutral", sa.Boolean()),
        sa.Column("follow", sa.Boolean()),
    )


def downgrade() -> None:
    for table in ("user_settings", "feedback", "requests", "threads", "turns"):
        op.drop_table(table)

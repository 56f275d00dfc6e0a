"""Alembic's entry: runs the steps on the connection that `bot.storage` hands it."""

from __future__ import annotations

from alembic import context

from bot.schema.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite cannot alter a column in place
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()

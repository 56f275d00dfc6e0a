"""Times that may not be lost with the process: when Slack was last heard, and in which channels."""

from __future__ import annotations

from sqlalchemy import select

from bot.schema import MarkRow
from bot.storage.database import Database


class Marks(Database):
    """Queries on marks; `mark` itself is the database's own way to see whether it takes writes."""

    async def marked(self, name: str) -> float | None:
        """The time that was noted under `name`, in seconds since 1970, or None."""
        async with self._read() as connection:
            found = await connection.execute(select(MarkRow.at).where(MarkRow.name == name))
            return found.scalar_one_or_none()

    async def marks(self, prefix: str) -> dict[str, float]:
        """All times noted under names that begin with `prefix`, by the rest of the name, newest first."""
        rows = select(MarkRow).where(MarkRow.name.startswith(prefix, autoescape=True))
        async with self._read() as connection:
            found = (await connection.execute(rows.order_by(MarkRow.at.desc()))).all()
        return {row.name.removeprefix(prefix): row.at for row in found}

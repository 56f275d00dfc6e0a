"""Several bots start at once on an empty PostgreSQL: one makes the tables, all of them open."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from bot import schema

SCRIPT = Path(__file__).parent / "start_storage.py"


async def start(url: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SCRIPT),
        env={**os.environ, "DATABASE_URL": url},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.postgres
async def test_three_processes_at_once_on_an_empty_database_all_open_it(postgres_url: str) -> None:
    plain = make_url(postgres_url).set(drivername="postgresql").render_as_string(hide_password=False)
    admin = await asyncpg.connect(plain)
    for _ in range(4):
        await admin.execute("DROP SCHEMA public CASCADE")
        await admin.execute("CREATE SCHEMA public")
        processes = await asyncio.gather(*(start(postgres_url) for _ in range(3)))
        ended = await asyncio.gather(*(process.communicate(b"now\n") for process in processes))
        assert [process.returncode for process in processes] == [0, 0, 0], b"\n".join(e for _, e in ended)
        assert await admin.fetch("SELECT version_num FROM alembic_version") == [(schema.NEWEST,)]
    await admin.close()

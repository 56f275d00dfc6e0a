"""One empty database for each test: SQLite, and PostgreSQL where TEST_POSTGRES_URL names a server."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from bot.storage import Storage


@asynccontextmanager
async def fresh_postgres() -> AsyncIterator[str]:
    """A fresh database on the server of TEST_POSTGRES_URL (postgresql+asyncpg://…)."""
    server = os.environ.get("TEST_POSTGRES_URL", "")
    if not server:
        pytest.skip("TEST_POSTGRES_URL names no PostgreSQL server")
    url = make_url(server)
    name = f"bot_test_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False))
    await admin.execute(f"CREATE DATABASE {name}")
    yield url.set(database=name).render_as_string(hide_password=False)
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture
async def postgres_url() -> AsyncIterator[str]:
    """The address of a fresh PostgreSQL database."""
    async with fresh_postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    """An empty database of either kind."""
    async with AsyncExitStack() as stack:
        url = f"sqlite+aiosqlite:///{tmp_path}/bot.sqlite3"
        if request.param == "postgres":
            url = await stack.enter_async_context(fresh_postgres())
        opened = await Storage.open(url)
        stack.push_async_callback(opened.close)
        yield opened

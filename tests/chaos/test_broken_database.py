"""The database is locked, full or damaged while the bot runs: an apology, the truth, and no loop."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bot_processes import BOT, answers, one_answer
from patience import PATIENCE, wait_until
from running_bot import RunningBot
from sqlalchemy import event

from bot.storage import StorageError
from bot.storage import database as storage_database


@pytest.fixture
def busy_seconds() -> int:
    """How long SQLite's lock is waited for."""
    return 1


@pytest.fixture
def hurried(hurried: None, busy_seconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Besides, SQLite's lock is waited for `busy_seconds`, not eight."""
    monkeypatch.setattr(storage_database, "BUSY_SECONDS", busy_seconds)


@pytest.fixture
def holder(bot: RunningBot, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Another process that may hold the database."""
    connection = sqlite3.connect(tmp_path / "bot.sqlite3", isolation_level=None, timeout=5)
    yield connection
    connection.close()


def apologies(bot: RunningBot, person: str) -> list[str]:
    return [m["text"] for m in bot.sandbox.ephemerals(person, "general") if "went wrong" in m["text"]]


@pytest.mark.parametrize("busy_seconds", [int(PATIENCE)])  # long beside the lock, however slow the machine
async def test_a_short_lock_costs_nothing(bot: RunningBot, holder: sqlite3.Connection) -> None:
    holder.execute("BEGIN IMMEDIATE")
    ts = await bot.sandbox.post("Ada", "general", f"{BOT} hello")
    await asyncio.sleep(0.4)
    holder.execute("COMMIT")
    await one_answer(bot.sandbox, "general", ts, "You said: hello")


async def test_a_question_deleted_while_the_database_is_locked_is_not_answered(
    bot: RunningBot, holder: sqlite3.Connection
) -> None:
    bot.engine.gate = asyncio.Event()
    ts = await bot.sandbox.post("Ada", "general", f"{BOT} hello")
    await bot.sandbox.wait_for(lambda: answers(bot.sandbox, "general", ts))
    holder.execute("BEGIN IMMEDIATE")
    await bot.sandbox.delete("Ada", "general", ts)
    await bot.sandbox.wait_for(lambda: not answers(bot.sandbox, "general", ts))
    holder.execute("COMMIT")
    bot.engine.gate.set()
    await bot.idle()
    assert not answers(bot.sandbox, "general", ts)


async def test_a_long_lock_gets_one_apology_and_passes(bot: RunningBot, holder: sqlite3.Connection) -> None:
    box = bot.sandbox
    holder.execute("BEGIN IMMEDIATE")
    ts = await box.post("Ada", "general", f"{BOT} hello")
    await box.wait_for(lambda: apologies(bot, "Ada"))
    assert bot.services.storage.problem is not None  # what /readyz looks at
    with pytest.raises(StorageError, match="locked"):
        await bot.services.storage.check()
    await asyncio.sleep(1.5)
    assert len(apologies(bot, "Ada")) == 1
    holder.execute("COMMIT")
    later = await box.post("Bo", "general", f"{BOT} better now?")
    await one_answer(box, "general", later, "You said: better now?")
    assert bot.services.storage.problem is None
    assert answers(box, "general", ts) == []


async def test_a_lock_while_it_answers_leaves_one_answer(bot: RunningBot, holder: sqlite3.Connection) -> None:
    box, gate = bot.sandbox, asyncio.Event()
    bot.engine.gate = gate
    ts = await box.post("Ada", "general", f"{BOT} hello")
    await box.wait_for(lambda: answers(box, "general", ts))
    await asyncio.sleep(0.3)
    holder.execute("BEGIN IMMEDIATE")
    gate.set()
    await asyncio.sleep(2.5)
    holder.execute("COMMIT")
    await bot.idle()
    (found,) = answers(box, "general", ts)
    assert found["metadata"]["event_payload"]["final"]
    key = f"message:{box.team_id}:{box.channels['general']}:{ts}"

    async def ended() -> bool:
        request = await bot.services.storage.request(key)
        assert request is not None
        return request.state in ("answered", "failed")

    await wait_until(ended)  # the state that could not be written is written once it can be


async def test_a_full_disk_gets_an_apology_and_passes(bot: RunningBot) -> None:
    box, engine, full = bot.sandbox, bot.services.storage._engine, True

    @event.listens_for(engine.sync_engine, "connect")
    def ceiling(connection: Any, _: object) -> None:
        if full:  # the file may not grow, as on a full disk
            connection.cursor().execute("PRAGMA max_page_count=1")

    await engine.dispose()  # connections opened from now on meet the ceiling
    ts = await box.post("Ada", "general", f"{BOT} " + "a long question " * 2000)
    await box.wait_for(lambda: apologies(bot, "Ada"))
    assert "make room on the disk" in str(bot.services.storage.problem)
    assert answers(box, "general", ts) == []
    full = False
    await engine.dispose()
    later = await box.post("Bo", "general", f"{BOT} better now?")
    await one_answer(box, "general", later, "You said: better now?")


async def test_a_damaged_database_gets_one_apology_each_and_no_loop(bot: RunningBot, tmp_path: Path) -> None:
    box, path = bot.sandbox, tmp_path / "bot.sqlite3"
    await bot.services.storage._scrub()
    await bot.services.storage._engine.dispose()
    path.write_bytes(path.read_bytes()[:100] + b"\x5a" * (path.stat().st_size - 100))
    await box.post("Ada", "general", f"{BOT} hello")
    await box.post("Bo", "general", "just talking")
    await box.wait_for(lambda: apologies(bot, "Ada"))
    assert "put a backup in its place" in str(bot.services.storage.problem)
    calls = len(box.calls)
    await asyncio.sleep(1.0)
    assert len(box.calls) - calls < 10
    assert (len(apologies(bot, "Ada")), len(apologies(bot, "Bo"))) == (1, 0)

"""A database that is locked, full, read-only, damaged, foreign or away is named, with the mend."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from patience import PATIENCE

from bot import schema
from bot.storage import Request, Storage, StorageError, Turn
from bot.storage import database as storage_database


def url(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"


def asked(key: str, text: str = "hello") -> Request:
    return Request(key, "thread", "chat", {"text": text}, "T:U")


async def test_a_new_database_has_every_table_and_step(tmp_path: Path) -> None:
    storage = await Storage.open(url(tmp_path / "deep" / "bot.sqlite3"))
    await storage.close()
    found = sqlite3.connect(tmp_path / "deep" / "bot.sqlite3")
    assert found.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert found.execute("SELECT version_num FROM alembic_version").fetchone() == (schema.NEWEST,)
    tables = {row[0] for row in found.execute("SELECT name FROM sqlite_master WHERE type='table'")}
    assert {"turns", "threads", "requests", "feedback", "user_settings", "marks"} <= tables


def test_the_newest_step_is_the_one_that_none_follows() -> None:
    steps = ScriptDirectory(str(Path(schema.__file__).parent))
    assert steps.get_heads() == [schema.NEWEST]


async def test_an_older_database_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "bot.sqlite3"
    storage = await Storage.open(url(path))
    await storage.ask("thread", Turn("user", "kept", ts="1"))
    await storage.close()
    older = sqlite3.connect(path)
    older.execute("DROP TABLE marks")
    older.execute("UPDATE alembic_version SET version_num='0001'")
    older.commit()
    older.close()
    storage = await Storage.open(url(path))
    await storage.set_checkpoint("a", 1.0)
    assert [turn.text for turn in await storage.turns("thread")] == ["kept"]
    await storage.close()


async def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bot.sqlite3"
    await (await Storage.open(url(path))).close()
    newer = sqlite3.connect(path)
    newer.execute("UPDATE alembic_version SET version_num='9999'")
    newer.commit()
    newer.close()
    with pytest.raises(StorageError, match="newer version"):
        await Storage.open(url(path))


async def test_a_database_that_stays_locked_is_named_and_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_database, "BUSY_SECONDS", 1)
    storage = await Storage.open(url(tmp_path / "bot.sqlite3"))
    holder = sqlite3.connect(tmp_path / "bot.sqlite3", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="locked; another process"):
        await storage.accept(asked("one"))
    assert storage.problem is not None
    holder.execute("COMMIT")
    assert await storage.accept(asked("two"))
    assert storage.problem is None
    assert [request.key for request in await storage.unfinished()] == ["two"]
    await storage.close()


async def test_a_locked_database_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_database, "BUSY_SECONDS", int(PATIENCE))
    storage = await Storage.open(url(tmp_path / "bot.sqlite3"))
    holder = sqlite3.connect(tmp_path / "bot.sqlite3", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    waiting = asyncio.ensure_future(storage.accept(asked("one")))
    await asyncio.sleep(0.2)  # it would fail here if it waited for nobody
    assert not waiting.done()
    holder.execute("COMMIT")
    assert await asyncio.wait_for(waiting, PATIENCE)
    await storage.close()


async def test_a_full_database_is_named_and_recovers(tmp_path: Path) -> None:
    storage = await Storage.open(url(tmp_path / "bot.sqlite3"))
    async with storage._read() as connection:  # the ceiling that a full disk would be
        pages = (await connection.exec_driver_sql("PRAGMA page_count")).scalar_one()
        await connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    async def fill() -> None:
        for number in range(200):
            await storage.accept(asked(f"request {number}", "long " * 300))

    with pytest.raises(StorageError, match="full; make room"):
        await fill()
    stored = len(await storage.unfinished())
    async with storage._read() as connection:
        await connection.exec_driver_sql("PRAGMA max_page_count=1000000")
    assert await storage.accept(asked("after"))
    assert len(await storage.unfinished()) == stored + 1
    await storage.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB."""
    mounted = tmp_path / "small"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mounted)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    yield mounted
    subprocess.run(["umount", str(mounted)], check=True)


async def test_a_full_disk_keeps_it_from_opening(small_disk: Path) -> None:
    with pytest.raises(StorageError, match=r"full|disk I/O"):
        await Storage.open(url(small_disk / "bot.sqlite3"))


async def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bot.sqlite3"
    storage = await Storage.open(url(path))
    for number in range(50):
        await storage.accept(asked(f"request {number}", "long " * 300))
    await storage._scrub()
    await storage.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\x5a" * (len(whole) - 12288) + whole[-4096:])
    with pytest.raises(StorageError, match=r"malformed.*backup"):
        await Storage.open(url(path))
    path.write_bytes(b"this is no database, but somebody's letter " * 100)
    with pytest.raises(StorageError, match="not a database"):
        await Storage.open(url(path))


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("mysql://x", "must begin with sqlite"),
        ("what", "is not a database address"),
        ("sqlite+aiosqlite:////proc/nowhere/bot.sqlite3", "cannot be made"),
        ("postgresql+asyncpg://bot:secret@127.0.0.1:1/bot", "cannot be used"),
    ],
)
async def test_a_wrong_address_is_refused_and_tells_no_password(address: str, said: str) -> None:
    with pytest.raises(StorageError, match=said) as refusal:
        await Storage.open(address)
    assert "secret" not in str(refusal.value)

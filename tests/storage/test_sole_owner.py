"""An SQLite file has one owner, by whatever name it is called; other databases may have several."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from bot.storage import Storage, StorageError, own


def url(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"


def test_one_file_has_one_owner_until_it_is_released(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "other name").symlink_to(tmp_path / "data")
    first = own(url(tmp_path / "data" / "bot.sqlite3"))
    assert first is not None
    with pytest.raises(StorageError, match=r"another bot is running on .*bot\.sqlite3.*PostgreSQL"):
        own(url(tmp_path / "other name" / "bot.sqlite3"))
    beside = own(url(tmp_path / "data" / "another.sqlite3"))
    assert beside is not None
    beside.release()
    first.release()
    again = own(url(tmp_path / "data" / "bot.sqlite3"))
    assert again is not None
    again.release()


async def test_what_is_owned_may_be_opened(tmp_path: Path) -> None:
    owned = own(url(tmp_path / "bot.sqlite3"))
    assert owned is not None
    await (await Storage.open(url(tmp_path / "bot.sqlite3"))).close()
    owned.release()


def own_and_end(address: str) -> None:
    assert own(address) is not None


def test_the_lock_ends_with_its_process_and_its_file_alone_locks_nothing(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(
        target=own_and_end, args=(url(tmp_path / "bot.sqlite3"),)
    )
    process.start()
    process.join()
    assert process.exitcode == 0
    (tmp_path / "bot.sqlite3.lock").touch()
    owned = own(url(tmp_path / "bot.sqlite3"))
    assert owned is not None
    owned.release()


@pytest.mark.parametrize("address", ["sqlite+aiosqlite://", "postgresql+asyncpg://bot@127.0.0.1/bot"])
def test_a_database_in_memory_or_on_a_server_needs_no_owner(address: str) -> None:
    assert own(address) is None


def test_a_directory_that_cannot_be_is_named() -> None:
    with pytest.raises(StorageError, match=r"cannot be used: .*check its directory"):
        own("sqlite+aiosqlite:////proc/nowhere/bot.sqlite3")

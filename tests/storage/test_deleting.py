"""What is deleted is gone: from every table, from the file and from its log."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from bot.cli.backup import back_up
from bot.storage import Feedback, Request, Storage, StorageError, Turn, UserSettings

SECRET = "the-heron-flies-at-midnight"
DAY = 86_400.0


def on_disk(directory: Path) -> bool:
    return any(SECRET.encode() in file.read_bytes() for file in directory.iterdir())


async def filled(directory: Path, at: float = 1000 * DAY) -> Storage:
    """A database in which Ada told a secret, Bo judged the answer, and Bo said something of his own."""
    storage = await Storage.open(f"sqlite+aiosqlite:///{directory}/bot.sqlite3")
    question = await storage.ask("thread", Turn("user", SECRET, "Ada", "T:ADA", "1.0", at))
    await storage.answer("thread", question, f"You said: {SECRET}")
    await storage.ask("thread", Turn("user", "and I am Bo", "Bo", "T:BO", "2.0", at + 1))
    await storage.join("thread", "T:ADA")
    await storage.give_feedback(Feedback("thread", "1.5", "T:BO", 1, SECRET, f"You said: {SECRET}", at))
    await storage.give_feedback(Feedback("thread", "1.5", "T:ADA", 1, SECRET, f"You said: {SECRET}", at))
    await storage.accept(Request("key", "thread", "chat", {"text": SECRET}, "T:ADA", received_at=at))
    await storage.advance("key", "answered")
    await storage.save_settings("T:ADA", UserSettings(language="zh"))
    await storage.set_checkpoint("channel:T:C", at)
    return storage


async def test_delete_my_data_leaves_nothing(tmp_path: Path) -> None:
    storage = await filled(tmp_path)
    assert on_disk(tmp_path)
    assert await storage.delete_user("T:ADA") == ["thread"]
    assert not on_disk(tmp_path)
    assert [turn.text for turn in await storage.turns("thread")] == ["and I am Bo"]
    (kept,) = await storage.feedback()
    assert (kept.user, kept.question, kept.answer) == ("T:BO", None, None)
    assert await storage.request("key") is None
    assert await storage.settings("T:ADA") == UserSettings()
    thread = await storage.thread("thread")
    assert thread is not None
    assert thread.owner is None
    await storage.close()
    found = sqlite3.connect(tmp_path / "bot.sqlite3")
    assert not [line for line in found.iterdump() if "T:ADA" in line or SECRET in line]


async def test_forgetting_a_thread_leaves_nothing_of_what_was_said(tmp_path: Path) -> None:
    storage = await filled(tmp_path)
    await storage.forget("thread")
    assert not on_disk(tmp_path)
    assert await storage.turns("thread") == []
    await storage.absorb("thread", [Turn("user", SECRET, ts="1.0", at=1000 * DAY)])
    assert await storage.turns("thread") == []
    await storage.close()


async def test_retention_deletes_what_is_older_and_nothing_else(tmp_path: Path) -> None:
    storage = await filled(tmp_path)
    await storage.ask("other", Turn("user", "newer", ts="3.0", at=1020 * DAY))
    assert await storage.expire(0, now=2000 * DAY) == 0
    assert await storage.expire(30, now=1029 * DAY) == 0
    assert await storage.expire(30, now=1031 * DAY) == 3
    assert not on_disk(tmp_path)
    assert [turn.text for turn in await storage.turns("other")] == ["newer"]
    assert await storage.feedback() == []
    assert await storage.request("key") is None
    assert await storage.checkpoints("channel:") == {}
    await storage.close()


async def test_an_open_request_does_not_expire(tmp_path: Path) -> None:
    storage = await Storage.open(f"sqlite+aiosqlite:///{tmp_path}/bot.sqlite3")
    await storage.accept(Request("open", "thread", "chat", {}, received_at=DAY))
    await storage.expire(30, now=1000 * DAY)
    assert [request.key for request in await storage.unfinished()] == ["open"]
    await storage.close()


async def test_a_backup_is_whole_while_the_bot_writes(tmp_path: Path) -> None:
    storage = await filled(tmp_path)
    copy = tmp_path / "copy.sqlite3"
    async with storage._write() as connection:  # in the middle of the bot's own work
        await connection.exec_driver_sql("UPDATE turns SET text = 'half done'")
        size = back_up(f"sqlite+aiosqlite:///{tmp_path}/bot.sqlite3", copy)
    assert size == copy.stat().st_size
    assert copy.stat().st_mode & 0o077 == 0
    assert not copy.with_name("copy.sqlite3.partial").exists()
    await storage.close()
    restored = await Storage.open(f"sqlite+aiosqlite:///{copy}")
    assert SECRET in [turn.text for turn in await restored.turns("thread")]
    await restored.close()


@pytest.mark.parametrize(
    ("database", "target", "said"),
    [
        ("sqlite+aiosqlite:///{0}/bot.sqlite3", "taken", "is not overwritten"),
        ("sqlite+aiosqlite:///{0}/nowhere.sqlite3", "new", "is not there"),
        ("sqlite+aiosqlite:///{0}/bot.sqlite3", "nowhere/new", "No such file or directory: choose another"),
        ("sqlite+aiosqlite:///{0}/bot.sqlite3", "taken/new", "Not a directory: choose another place"),
        ("sqlite+aiosqlite:///{0}/taken", "new", "cannot be copied"),
        ("postgresql+asyncpg://bot@localhost/bot", "new", "pg_dump"),
    ],
)
async def test_what_cannot_be_backed_up_is_refused(
    tmp_path: Path, database: str, target: str, said: str
) -> None:
    await (await Storage.open(f"sqlite+aiosqlite:///{tmp_path}/bot.sqlite3")).close()
    (tmp_path / "taken").write_text("somebody's letter " * 100)
    with pytest.raises(StorageError, match=said):
        back_up(database.format(tmp_path), tmp_path / target)
    assert not (tmp_path / "new").exists()

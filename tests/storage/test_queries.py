"""Every query, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiosqlite
import pytest

from bot.storage import Feedback, Request, Storage, StorageError, Thread, Turn, UserSettings
from config.settings import ROOT

DAY = 86_400.0


def question(text: str, ts: str, at: float, author: str = "ADA") -> Turn:
    return Turn("user", text, author.title(), f"T:{author}", ts, at)


async def said(storage: Storage, thread: str) -> list[str]:
    return [turn.text for turn in await storage.turns(thread)]


async def test_turns_keep_their_order_and_threads_stay_apart(storage: Storage) -> None:
    second = await storage.ask("one", question("second", "2.0", 2.0))
    first = await storage.ask("one", question("first", "1.0", 1.0))
    await storage.answer("one", second, "to the second")
    await storage.answer("one", first, "to the first")
    await storage.ask("two", question("elsewhere", "1.0", 1.5))
    assert await said(storage, "one") == ["first", "to the first", "second", "to the second"]
    assert [turn.text for turn in await storage.turns("one", before=second)] == ["first", "to the first"]
    assert [turn.text for turn in await storage.turns("one", limit=1)] == ["to the second"]
    assert await said(storage, "two") == ["elsewhere"]


async def test_asking_again_replaces_the_answer_in_its_place(storage: Storage) -> None:
    first = await storage.ask("thread", question("first", "1.0", 1.0))
    await storage.answer("thread", first, "old")
    await storage.ask("thread", question("second", "2.0", 2.0))
    again = await storage.ask("thread", question("first, edited", "1.0", 99.0))
    await storage.answer("thread", again, "new")
    assert again.at == 1.0
    assert await said(storage, "thread") == ["first, edited", "new", "second"]


async def test_edits_deletions_and_what_is_read_elsewhere(storage: Storage) -> None:
    await storage.absorb("thread", [question("a", "1.0", 1.0), Turn("assistant", "b", ts="1.0", at=1.0)])
    await storage.absorb("thread", [question("again", "1.0", 1.0), question("c", "2.0", 2.0)])
    await storage.edit("thread", "2.0", "c, edited")
    assert await said(storage, "thread") == ["a", "b", "c, edited"]
    await storage.edit("thread", "1.0", None)
    assert await said(storage, "thread") == ["b", "c, edited"]


async def test_threads_remember_who_asked_the_bot_in(storage: Storage) -> None:
    await storage.stay_out("slack:T:C:1")
    await storage.join("slack:T:C:1")
    await storage.join("slack:T:C:1", "T:ADA")
    await storage.join("slack:T:C:1", "T:BO")
    await storage.stay_out("slack:T:C:1")
    await storage.stay_out("slack:T:C:2")
    assert await storage.thread("slack:T:C:1") == Thread("slack:T:C:1", "T:ADA", joined=True)
    assert await storage.thread("slack:T:C:3") is None
    assert await storage.owned("slack:T:C:", "T:ADA") == ["slack:T:C:1"]
    assert await storage.owned("slack:T:%:", "T:ADA") == []
    assert await storage.joined("slack:T:", 0.0) == ["slack:T:C:1"]
    assert await storage.note_trimmed("slack:T:C:1")
    assert not await storage.note_trimmed("slack:T:C:1")


async def test_a_request_is_accepted_once_and_carried_through_its_states(storage: Storage) -> None:
    asked = Request("key", "thread", "chat", {"text": "你好 😄", "list": [1, None]}, "T:ADA")
    accepted = await asyncio.gather(*(storage.accept(asked) for _ in range(8)))
    assert sorted(accepted) == [False] * 7 + [True]
    (found,) = await storage.unfinished()
    assert replace(found, received_at=0.0) == asked
    await storage.advance("key", "answering", answer_ts="1.5")
    (found,) = await storage.unfinished()
    assert (found.state, found.answer_ts) == ("answering", "1.5")
    await storage.advance("key", "failed", problem="why")
    assert await storage.unfinished() == []
    found_again = await storage.request("key")
    assert found_again is not None
    assert (found_again.answer_ts, found_again.problem) == ("1.5", "why")
    await storage.advance("key", "answering", answer_ts="9.9")  # a note that comes late
    assert await storage.unfinished() == []
    assert not await storage.accept(asked)
    await storage.withdraw("key")
    assert await storage.request("key") is None


async def test_a_withdrawn_request_is_open_until_it_is_deleted(storage: Storage) -> None:
    asked = Request("key", "thread", "chat", {"text": "as it was"}, "ada")
    await storage.accept(asked)
    await storage.advance("key", "withdrawn")
    await storage.advance("key", "answering", answer_ts="9.9")  # a note that comes late
    await storage.revise(replace(asked, payload={"text": "as it is now"}))
    (found,) = await storage.unfinished()
    assert (found.state, found.payload) == ("withdrawn", {"text": "as it was"})
    await storage.withdraw("key")
    assert await storage.unfinished() == []


async def test_the_finished_requests_of_one_message_are_dropped_and_no_others(storage: Storage) -> None:
    keys = ("message:1.5", "message:1.5:1", "message:1.5:2", "message:1.55", "message:1_5")
    for key in keys:
        await storage.accept(Request(key, "thread", "chat", {"text": key}, "ada"))
        if key != "message:1.5:2":
            await storage.advance(key, "answered", answer_ts=f"answer to {key}")
        await storage.give_feedback(Feedback("thread", f"answer to {key}", "T:ADA", 1, "q", "a", 1.0))
    found = await storage.finished("thread", "message:1.5")
    assert [each.key for each in found] == ["message:1.5", "message:1.5:1"]
    await storage.revise(replace(found[0], payload={"text": "as it reads now"}))
    revised = await storage.request("message:1.5")
    assert revised is not None
    assert (revised.state, revised.payload) == ("answered", {"text": "as it reads now"})
    await storage.drop_finished("thread", "message:1.5")
    assert [key for key in keys if await storage.request(key)] == list(keys[2:])
    assert [each.question for each in await storage.feedback()] == [None, None, "q", "q", "q"]


async def test_feedback_and_settings_replace_their_former_selves(storage: Storage) -> None:
    thumb = Feedback("thread", "1.5", "T:ADA", 1, "q", "a", 1.0)
    await storage.give_feedback(thumb)
    await storage.give_feedback(replace(thumb, verdict=-1, at=2.0))
    assert await storage.feedback() == [replace(thumb, verdict=-1, at=2.0)]
    assert await storage.settings("T:ADA") == UserSettings()
    await storage.save_settings("T:ADA", UserSettings(neutral=False))
    await storage.save_settings("T:ADA", UserSettings(language="zh", follow=True))
    assert await storage.settings("T:ADA") == UserSettings("zh", None, True)


async def test_checkpoints_outlive_the_process(storage: Storage) -> None:
    assert await storage.checkpoint("heard:T") is None
    await storage.set_checkpoint("heard:T", 1.5)
    await storage.set_checkpoint("heard:T", 2.5)
    await storage.set_checkpoint("channel:T:C1", 1.0)
    await storage.set_checkpoint("channel:T:C2", 2.0)
    assert await storage.checkpoint("heard:T") == 2.5
    assert list((await storage.checkpoints("channel:T:")).items()) == [("C2", 2.0), ("C1", 1.0)]


async def test_forgetting_deleting_and_expiring(storage: Storage) -> None:
    ada = await storage.ask("thread", question("mine", "1.0", 100 * DAY))
    await storage.answer("thread", ada, "yours")
    await storage.ask("thread", question("Bo's", "2.0", 101 * DAY, "BO"))
    await storage.accept(Request("key", "thread", "chat", {}, "T:ADA", received_at=100 * DAY))
    assert await storage.delete_user("T:ADA") == ["thread"]
    assert await said(storage, "thread") == ["Bo's"]
    assert len(await storage.unfinished()) == 1  # it was accepted, so it is answered
    await storage.advance("key", "answered")
    assert await storage.expire(30, now=140 * DAY) == 1
    assert await storage.request("key") is None
    await storage.forget("thread", at=150 * DAY)
    await storage.absorb("thread", [question("old", "3.0", 149 * DAY), question("new", "4.0", 151 * DAY)])
    assert await said(storage, "thread") == ["new"]


async def test_text_of_every_kind_comes_back_as_it_was(storage: Storage) -> None:
    text = "'; DROP TABLE turns; -- %s {0} \\ 🙂 \u202e你好\r\n\ttab"
    await storage.ask("thread'; --", Turn("user", text, "O'Brien", "T:%", "1.0", 1.0))
    assert await said(storage, "thread'; --") == [text]


async def test_200_writers_at_once(storage: Storage) -> None:
    await asyncio.gather(
        *(storage.accept(Request(f"key {n}", f"thread {n % 9}", "chat", {})) for n in range(200))
    )
    assert len(await storage.unfinished()) == 200


async def test_several_are_opened_at_once_each_on_its_own_file(tmp_path: Path) -> None:
    urls = [f"sqlite+aiosqlite:///{tmp_path}/{number}.sqlite3" for number in range(6)]
    for storage in await asyncio.gather(*map(Storage.open, urls)):
        assert await storage.accept(Request("key", "thread", "chat", {}))
        await storage.close()


OPEN = """
import asyncio, sys
from bot.storage import Storage

async def main():
    await (await Storage.open(sys.argv[1])).close()

asyncio.run(main())
"""


async def test_two_processes_open_a_new_sqlite_file_at_once(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/bot.sqlite3"
    both = [await asyncio.create_subprocess_exec(sys.executable, "-c", OPEN, url, cwd=ROOT) for _ in range(2)]
    assert [await each.wait() for each in both] == [0, 0]


async def test_an_sqlite_file_that_another_process_is_just_making_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The race comes in one of some hundred tries, so that SQLite's answer in it is put in its place here."""
    execute, refusals = aiosqlite.Connection.execute_fetchall, iter(["database is locked"] * 3)

    async def raced(self: aiosqlite.Connection, sql: str, *given: Any) -> Iterable[sqlite3.Row]:
        if "journal_mode" in sql and (refusal := next(refusals, None)):
            raise sqlite3.OperationalError(refusal)
        return await execute(self, sql, *given)

    monkeypatch.setattr(aiosqlite.Connection, "execute_fetchall", raced)
    storage = await Storage.open(f"sqlite+aiosqlite:///{tmp_path}/bot.sqlite3")
    await storage.close()
    with closing(sqlite3.connect(tmp_path / "bot.sqlite3")) as file:
        assert file.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_two_connections_share_an_sqlite_file(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/bot.sqlite3"
    one, two = await asyncio.gather(Storage.open(url), Storage.open(url))
    both = [each.accept(Request(f"key {n}", "thread", "chat", {})) for n in range(40) for each in (one, two)]
    assert sorted(await asyncio.gather(*both)) == [False] * 40 + [True] * 40
    await one.close()
    await two.close()


@pytest.mark.postgres
async def test_a_server_that_goes_away_is_named_and_comes_back(postgres_url: str) -> None:
    storage = await Storage.open(postgres_url)

    async def write_while_it_goes() -> None:
        everybody = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        )
        async with storage._engine.connect() as admin, storage._write() as connection:
            await admin.exec_driver_sql(everybody + " AND pid <> pg_backend_pid()")
            await connection.exec_driver_sql("SELECT 1")

    with pytest.raises(StorageError):
        await write_while_it_goes()
    assert storage.problem is not None
    assert await storage.accept(Request("after", "thread", "chat", {}))
    assert storage.problem is None
    await storage.close()

"""Requests are stored first, answered once, in their thread's order and by fair shares."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE, wait_until

from bot.app import retry
from bot.inbox import Inbox, InboxFull, Job
from bot.inbox import inbox as inbox_module
from bot.inbox.payloads import DeleteData, Question, encode
from bot.storage import Request, Storage


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Storage]:
    """An empty database."""
    opened = await Storage.open(f"sqlite+aiosqlite:///{tmp_path}/bot.sqlite3")
    yield opened
    await opened.close()


def asked(key: str, thread: str = "", user: str = "ada", channel: str = "") -> Request:
    question = Question("T", channel, "1.0", "1.0", user, {"text": key}, "mention")
    return Request(key, thread or f"thread of {key}", "chat", encode(question), user)


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is tried at once."""
    monkeypatch.setattr(retry, "pause", lambda attempt, longest=30.0: 0.01)


class Answers:
    """Remembers who was answered, and waits where it is told to."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.done: list[str] = []
        self.gate = asyncio.Event()
        self.problems: list[Exception] = []
        self.jobs: list[Job[Any]] = []

    async def __call__(self, job: Job[Any]) -> None:
        self.begun.append(job.key)
        self.jobs.append(job)
        await self.gate.wait()
        if self.problems:
            raise self.problems.pop(0)
        self.done.append(job.key)


async def settled(inbox: Inbox) -> None:
    """Wait until nothing is unfinished."""
    await wait_until(lambda: not inbox.waiting and not inbox.running)


async def opened(storage: Storage, most: int = 64) -> tuple[Inbox, Answers]:
    inbox, answers = Inbox(storage, most), Answers()
    inbox.register("chat", answers)
    await inbox.start()
    return inbox, answers


async def test_a_request_is_taken_once_however_often_it_comes(storage: Storage) -> None:
    inbox, answers = await opened(storage)
    answers.gate.set()
    taken = await asyncio.gather(*(inbox.accept(asked("one")) for _ in range(20)))
    assert taken.count(True) == 1
    await settled(inbox)
    assert not await inbox.accept(asked("one"))
    assert answers.done == ["one"]
    stored = await storage.request("one")
    assert stored is not None
    assert stored.state == "answered"


async def test_a_thread_is_answered_in_its_order_and_threads_side_by_side(storage: Storage) -> None:
    inbox, answers = await opened(storage)
    for number in range(3):
        await inbox.accept(asked(f"a{number}", "a"))
    await inbox.accept(asked("b0", "b"))
    await wait_until(lambda: "b0" in answers.begun)
    await asyncio.sleep(0.1)  # a1 would begin
    assert sorted(answers.begun) == ["a0", "b0"]
    answers.gate.set()
    await settled(inbox)
    assert [key for key in answers.done if key.startswith("a")] == ["a0", "a1", "a2"]


async def test_shares_of_the_queue(storage: Storage) -> None:
    inbox, answers = await opened(storage, most=32)
    for number in range(8):
        await inbox.accept(asked(f"ada {number}", user="ada", channel="C1"))
    with pytest.raises(InboxFull) as first:
        await inbox.accept(asked("ada too", user="ada", channel="C1"))
    with pytest.raises(InboxFull) as second:
        await inbox.accept(asked("ada again", user="ada", channel="C2"))
    assert (first.value.tell, second.value.tell) == (True, False)  # it is said once
    assert not await inbox.accept(asked("ada too", user="ada", channel="C1"))  # its other delivery
    for number in range(8):
        await inbox.accept(asked(f"bo {number}", user="bo", channel="C1"))
    with pytest.raises(InboxFull):
        await inbox.accept(asked("eve", user="eve", channel="C1"))  # half of the queue is this channel's
    assert await inbox.accept(asked("eve elsewhere", user="eve", channel="C3"))
    assert await inbox.accept(asked("part of one", user="ada", channel="C1"), follows=True)
    refused = await storage.request("ada too")
    assert refused is not None
    assert (refused.state, refused.payload) == ("refused", {})
    answers.gate.set()
    await settled(inbox)
    assert inbox.outcomes == {"answered": 18, "refused": 3}


async def test_whoever_has_least_under_way_goes_next(storage: Storage) -> None:
    inbox, answers = await opened(storage)
    for number in range(12):
        await inbox.accept(asked(f"ada {number}"))
    await inbox.accept(asked("bo", user="bo"))
    await wait_until(lambda: len(answers.begun) == inbox_module.REPLIES)
    answers.gate.set()
    await settled(inbox)
    assert answers.begun.index("bo") == inbox_module.REPLIES


async def test_what_fails_is_apologised_for_and_the_next_goes_on(storage: Storage) -> None:
    inbox, answers = await opened(storage)
    told: list[str] = []

    async def apologise(job: Job[Any]) -> None:
        told.append(job.key)

    inbox.apology = apologise
    answers.problems, _ = [ValueError("broken")], answers.gate.set()
    await inbox.accept(asked("one", "thread"))
    await inbox.accept(asked("two", "thread"))
    await settled(inbox)
    assert (told, answers.done) == (["one"], ["two"])
    stored = await storage.request("one")
    assert stored is not None
    assert (stored.state, stored.problem) == ("failed", "ValueError: broken")


async def test_what_is_transient_is_tried_again_and_looks_first(storage: Storage, short_pauses: None) -> None:
    inbox, answers = await opened(storage)
    inbox.is_transient = lambda problem: isinstance(problem, ConnectionError)
    answers.problems, _ = [ConnectionError(), ConnectionError()], answers.gate.set()
    await inbox.accept(asked("one"))
    await settled(inbox)
    assert (answers.begun, answers.done) == (["one"] * 3, ["one"])
    assert answers.jobs[-1].resumed


async def test_an_apology_that_cannot_be_delivered_is_tried_again(
    storage: Storage, short_pauses: None
) -> None:
    inbox, answers = await opened(storage)
    inbox.is_transient = lambda problem: isinstance(problem, ConnectionError)
    tries: list[str] = []

    async def apologise(job: Job[Any]) -> None:
        tries.append(job.key)
        if len(tries) < 3:
            raise ConnectionError

    inbox.apology = apologise
    answers.problems, _ = [ValueError(), ValueError(), ValueError()], answers.gate.set()
    await inbox.accept(asked("one"))
    await settled(inbox)
    assert tries == ["one"] * 3


async def test_an_apology_that_can_never_be_delivered_is_given_up(storage: Storage) -> None:
    inbox, answers = await opened(storage)
    inbox.is_transient = lambda problem: isinstance(problem, ConnectionError)
    tries: list[str] = []

    async def apologise(job: Job[Any]) -> None:
        tries.append(job.key)
        raise PermissionError

    inbox.apology = apologise
    answers.problems, _ = [ValueError("broken")], answers.gate.set()
    await inbox.accept(asked("one", "thread"))
    await inbox.accept(asked("two", "thread"))
    await settled(inbox)
    assert (tries, answers.done) == (["one"], ["two"])


async def test_where_nobody_can_be_told_there_is_no_apology(storage: Storage) -> None:
    inbox, answers = await opened(storage)
    inbox.is_hopeless = lambda problem: isinstance(problem, PermissionError)
    told: list[str] = []

    async def apologise(job: Job[Any]) -> None:
        told.append(job.key)

    inbox.apology = apologise
    answers.problems, _ = [PermissionError("archived")], answers.gate.set()
    await inbox.accept(asked("one"))
    await settled(inbox)
    stored = await storage.request("one")
    assert stored is not None
    assert (told, stored.state, stored.problem) == ([], "failed", "PermissionError: archived")


async def test_the_next_process_takes_up_what_was_open(storage: Storage) -> None:
    inbox, answers = await opened(storage)
    await inbox.accept(asked("begun", "a"))
    await inbox.accept(asked("waiting", "a"))
    await wait_until(lambda: answers.begun)
    await inbox.stop(grace=0.1)
    assert await inbox.accept(asked("while stopping", "b"))  # stored for the next process
    later = Inbox(storage)
    again = Answers()
    again.gate.set()
    later.register("chat", again)
    assert await later.start() == 3
    await settled(later)
    assert sorted(again.done) == ["begun", "waiting", "while stopping"]
    assert all(job.resumed for job in again.jobs)
    assert await storage.unfinished() == []


async def test_a_stop_lets_running_answers_finish_and_begins_none(storage: Storage) -> None:
    inbox, answers = await opened(storage)
    await inbox.accept(asked("running", "a"))
    await inbox.accept(asked("waiting", "a"))
    await wait_until(lambda: answers.begun)
    stopping = asyncio.ensure_future(inbox.stop(grace=2 * PATIENCE))
    await asyncio.sleep(0.1)  # it would end here if it waited for nobody
    assert not stopping.done()
    answers.gate.set()
    await asyncio.wait_for(stopping, PATIENCE)
    assert answers.done == ["running"]
    assert [request.key for request in await storage.unfinished()] == ["waiting"]


async def test_a_request_is_late_by_its_age_and_not_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(asked("one"), DeleteData("T", "ada"), age=100.0)
    assert job.late(99)
    assert not job.late(101)
    real = time.time()
    monkeypatch.setattr(time, "time", lambda: real + 86_400)
    assert not job.late(101)


async def test_waiting_for_what_the_same_person_asked_before(storage: Storage) -> None:
    inbox, answers = await opened(storage)
    order: list[str] = []

    async def delete(job: Job[DeleteData]) -> None:
        await inbox.earlier_done(job)
        order.extend([*answers.done, "deleted"])

    inbox.register("delete_data", delete, quick=True)
    await inbox.accept(asked("mine"))
    await inbox.accept(asked("Bo's", user="bo"))
    await inbox.accept(Request("delete", "delete", "delete_data", encode(DeleteData("T", "ada")), "ada"))
    await asyncio.sleep(0.1)
    assert order == []
    answers.gate.set()
    await settled(inbox)
    assert "mine" in order
    assert order[-1] == "deleted"

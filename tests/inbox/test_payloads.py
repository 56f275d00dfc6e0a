"""Stored payloads are read back as they were, an older version's too; what cannot be read blocks nobody."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from patience import wait_until

from bot.app import retry
from bot.inbox import Inbox, Job
from bot.inbox.payloads import (
    KINDS,
    VERSION,
    ClassifyText,
    DeleteData,
    ForgetChannel,
    ForgetThread,
    OpenChat,
    Payload,
    Question,
    ShareEmotion,
    ThreadMood,
    Undecodable,
    UndecodablePayload,
    decode,
    encode,
)
from bot.storage import Request, Storage

URL = "https://hooks.slack.com/commands/x"
QUESTION = Question("T", "C", "2.0", "1.0", "U", {"text": "hi", "files": [{"id": "F"}]}, "thread")
PAYLOADS: dict[str, Payload] = {
    "chat": replace(QUESTION, again=2, replaces="key"),
    "maybe": QUESTION,
    "emotion": QUESTION,
    "classify": ClassifyText("T", "C", "U", "hi", URL, "feelings", "1.0"),
    "thread_mood": ThreadMood("T", "C", "U", "2.0", URL, "1.0"),
    "open_chat": OpenChat("T", "C", "U", "hi", URL),
    "forget_channel": ForgetChannel("T", "C", "U", URL),
    "share": ShareEmotion("T", "C", "U", "key", URL),
    "forget": ForgetThread("T", "C", "U", "1.0"),
    "delete_data": DeleteData("T", "U"),
}
# What version 0.1.0 stored, which had no version.
UNVERSIONED: dict[str, dict[str, Any]] = {
    "classify": {
        "team": "T", "channel": "C", "user": "U", "text": "hi", "ts": "2.0", "thread_ts": None,
        "response_url": URL,
    },
    "thread_mood": {
        "team": "T", "channel": "C", "user": "U", "text": "hi", "ts": "2.0", "thread_ts": "1.0",
        "response_url": URL,
    },
    "open_chat": {
        "team": "T", "channel": "C", "user": "U", "text": "hi", "role": "emotion", "response_url": URL,
    },
    "forget_channel": {
        "team": "T", "channel": "C", "user": "U", "text": "", "role": "emotion", "response_url": URL,
    },
    "forget": {
        "team": "T", "channel": "C", "user": "U", "about": "key", "thread_ts": "1.0", "response_url": URL,
    },
    "delete_data": {"team": "T", "user": "U"},
}  # fmt: skip


def without(payload: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in payload.items() if key != name}


QUESTION_STORED = encode(QUESTION)
UNDECODABLE = {
    "a field is missing": ("chat", without(QUESTION_STORED, "surface"), "field 'surface' is missing"),
    "a wrong type": ("chat", {**QUESTION_STORED, "message": "hi"}, "field 'message' is str, not dict"),
    "a bool is no int": ("chat", {**QUESTION_STORED, "again": True}, "field 'again' is bool, not int"),
    "no timestamp": ("chat", {**QUESTION_STORED, "ts": "now"}, "field 'ts' is no timestamp"),
    "an unknown kind": ("sing", QUESTION_STORED, "unknown kind 'sing'"),
    "a newer version": (
        "chat",
        {**QUESTION_STORED, "version": VERSION + 1},
        f"version {VERSION + 1} is newer",
    ),
    "an odd version": ("chat", {**QUESTION_STORED, "version": "1"}, "field 'version' is str, not int"),
    "no object": ("chat", ["hi"], "the payload is no JSON object"),
}
undecodable = pytest.mark.parametrize(("kind", "stored", "reason"), UNDECODABLE.values(), ids=UNDECODABLE)


def test_every_kind_is_tried_here() -> None:
    assert set(PAYLOADS) == set(KINDS)


@pytest.mark.parametrize("kind", PAYLOADS)
def test_a_payload_is_read_back_as_it_was(kind: str) -> None:
    stored = json.loads(json.dumps(encode(PAYLOADS[kind])))
    assert stored["version"] == VERSION
    assert decode(kind, stored) == PAYLOADS[kind]


@pytest.mark.parametrize("kind", PAYLOADS)
def test_a_payload_without_a_version_is_read_and_fields_that_are_not_known_are_ignored(kind: str) -> None:
    stored = {**without(encode(PAYLOADS[kind]), "version"), "colour": "blue"}
    assert decode(kind, stored) == PAYLOADS[kind]


@pytest.mark.parametrize("kind", UNVERSIONED)
def test_what_0_1_0_stored_is_read(kind: str) -> None:
    found = decode(kind, UNVERSIONED[kind])
    assert type(found) is KINDS[kind]
    for name, value in UNVERSIONED[kind].items():
        assert getattr(found, name, value) == value


@undecodable
def test_what_cannot_be_read_is_refused_with_the_field(kind: str, stored: Any, reason: str) -> None:
    with pytest.raises(UndecodablePayload, match=reason):
        decode(kind, stored)


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Storage]:
    """An empty database."""
    opened = await Storage.open(f"sqlite+aiosqlite:///{tmp_path}/bot.sqlite3")
    yield opened
    await opened.close()


class Inboxed:
    """An inbox that has taken up `requests`: who was answered, apologised to, and told to wait."""

    def __init__(self, storage: Storage) -> None:
        self.inbox, self.storage = Inbox(storage), storage
        self.answered: list[str] = []
        self.apologies: list[Job[Any]] = []
        self.problems: list[Exception] = []

    async def answer(self, job: Job[Question]) -> None:
        self.answered.append(job.payload.message["text"])

    async def wait(self, job: Job[Question]) -> None:
        raise AssertionError("nobody waits here")

    async def apologise(self, job: Job[Any]) -> None:
        if self.problems:
            raise self.problems.pop(0)
        self.apologies.append(job)

    async def take_up(self, *requests: Request) -> None:
        """Find `requests` in the database at the start, and answer them."""
        for request in requests:
            assert await self.storage.accept(request)
        self.inbox.register("chat", self.answer, waiting=self.wait)
        self.inbox.apology = self.apologise
        self.inbox.is_transient = lambda problem: isinstance(problem, ConnectionError)
        assert await self.inbox.start() == len(requests)
        await wait_until(lambda: not self.inbox.waiting and not self.inbox.running)


NEXT = Request("next", "thread", "chat", encode(replace(QUESTION, message={"text": "next"})), "T:U")


@undecodable
async def test_it_is_apologised_for_and_recorded_and_the_next_of_its_thread_is_answered(
    storage: Storage, kind: str, stored: Any, reason: str
) -> None:
    inboxed = Inboxed(storage)
    await inboxed.take_up(Request("broken", "thread", kind, stored, "T:U"), NEXT)
    assert inboxed.answered == ["next"]
    (job,) = inboxed.apologies
    assert job.key == "broken"
    found = await storage.request("broken")
    assert found is not None
    assert found.state == "failed"
    assert reason in str(found.problem)
    assert inboxed.inbox.outcomes == {"failed": 1, "answered": 1}


async def test_what_can_be_read_says_whom_to_apologise_to(storage: Storage) -> None:
    inboxed = Inboxed(storage)
    stored = {"team": "T", "channel": 7, "user": "U", "ts": "soon", "thread_ts": "1.0"}
    await inboxed.take_up(Request("broken", "thread", "chat", stored, "T:U"))
    (job,) = inboxed.apologies
    assert job.payload == Undecodable(
        "kind 'chat': field 'channel' is int, not str", team="T", user="U", thread_ts="1.0"
    )


async def test_a_kind_that_nobody_answers_is_apologised_for(storage: Storage) -> None:
    inboxed = Inboxed(storage)
    await inboxed.take_up(Request("old", "thread", "share", encode(PAYLOADS["share"]), "T:U"), NEXT)
    assert inboxed.answered == ["next"]
    assert isinstance(inboxed.apologies[0].payload, Undecodable)
    found = await storage.request("old")
    assert found is not None
    assert "kind 'share' is not answered any more" in str(found.problem)


async def test_an_apology_to_nobody_is_given_up_and_one_that_slack_delays_is_not(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "pause", lambda attempt, longest=30.0: 0.01)
    inboxed = Inboxed(storage)
    inboxed.problems = [ConnectionError(), ConnectionError(), LookupError("no such channel")]
    await inboxed.take_up(Request("broken", "thread", "chat", {}, "T:U"), NEXT)
    assert (inboxed.problems, inboxed.apologies, inboxed.answered) == ([], [], ["next"])
    found = await storage.request("broken")
    assert found is not None
    assert found.state == "failed"


async def test_nothing_is_stored_that_could_not_be_read_again(storage: Storage) -> None:
    inbox = Inbox(storage)
    with pytest.raises(UndecodablePayload, match="field 'team' is missing"):
        await inbox.accept(Request("broken", "thread", "chat", {}, "T:U"))
    assert await storage.request("broken") is None

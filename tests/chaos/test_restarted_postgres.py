"""PostgreSQL is restarted while requests are open: it is waited out, and each is answered once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from bot_processes import BOT, all_answered, answers
from postgres_cluster import Cluster, started_cluster
from running_bot import RunningBot, Scripted, ephemerals_of, run_bot, shown

from bot.roles import Role
from bot.sandbox import Sandbox
from bot.storage import StorageError
from bot.storage import database as storage_database

pytestmark = pytest.mark.postgres


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with started_cluster() as started:
        yield started


@pytest.fixture
async def bot(
    sandbox: Sandbox, cluster: Cluster, roles: dict[str, Role], hurried: None
) -> AsyncIterator[RunningBot]:
    """A bot on that cluster, whose answers take a second or so."""
    async with run_bot(sandbox, cluster.url, Scripted(pause=0.1), roles, max_queue=200) as running:
        yield running


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_each_request_is_answered_once_and_nothing_is_apologised_for(
    bot: RunningBot, cluster: Cluster, mode: str
) -> None:
    box, people = bot.sandbox, ("Ada", "Bo", "小林")
    asked: dict[str, tuple[str, str]] = {}

    async def ask(number: int) -> None:
        text = f"question {number:02}, and some words more"
        ts = await box.post(people[number % 3], "general", f"{BOT} {text}")
        asked[ts] = ("general", text)

    async def ask_on(start: int) -> None:
        for number in range(start, start + 10):
            await ask(number)
            await asyncio.sleep(0.1)

    await ask_on(0)  # some are being answered, some wait
    going_on = asyncio.ensure_future(ask_on(10))  # and some come while it is away
    await asyncio.to_thread(cluster.stop, mode)
    await going_on
    assert bot.services.storage.problem is not None  # what /readyz looks at
    await asyncio.to_thread(cluster.start)
    assert await all_answered(box, asked) == {1: 20}
    await bot.idle()
    assert [m for person in people for m in box.ephemerals(person, "general") if "wrong" in m["text"]] == []
    for ts, (channel, text) in asked.items():
        (found,) = answers(box, channel, ts)
        assert shown(found).startswith(f"You said: {text}")
        turns = await bot.services.storage.turns(f"slack:{box.team_id}:{box.channels['general']}:{ts}")
        assert [turn.text for turn in turns] == [text, f"You said: {text}"]
    assert await bot.services.storage.unfinished() == []


async def test_a_server_that_stays_away_gets_an_apology(
    bot: RunningBot, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_database, "AWAY_SECONDS", 0.5)
    await asyncio.to_thread(cluster.stop)
    ts = await bot.sandbox.post("Ada", "general", f"{BOT} hello")
    (note,) = await ephemerals_of(bot, "Ada")
    assert "went wrong" in note["text"]
    with pytest.raises(StorageError, match="check DATABASE_URL and the server"):
        await bot.services.storage.check()
    await asyncio.to_thread(cluster.start)
    assert answers(bot.sandbox, "general", ts) == []

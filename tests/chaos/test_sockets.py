"""Dropped, half-open, wedged, deaf and refreshed sockets: nothing is missed and /readyz tells the truth."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from bot_processes import BOT, all_answered, answers, one_answer
from patience import wait_until
from running_bot import RunningBot

from bot.sandbox.workspace import BOT_USER_ID
from handlers.transport import backfill, watchdog


async def ask(bot: RunningBot, text: str, person: str = "Ada") -> dict[str, tuple[str, str]]:
    """Mention the bot; what `all_answered` wants to know of it."""
    ts = await bot.sandbox.post(person, "general", f"{BOT} {text}")
    return {ts: ("general", text)}


@pytest.mark.parametrize("fault", ["drop", "go_half_open"])
async def test_a_lost_socket_is_replaced_and_nothing_is_missed(bot: RunningBot, fault: str) -> None:
    bot.sandbox.faults.ack_seconds = 0.5
    asked = await ask(bot, "before")
    await all_answered(bot.sandbox, asked)
    getattr(bot.sandbox.sockets, fault)()
    asked |= await ask(bot, "in the gap")
    await bot.sandbox.wait_for(lambda: bot.connection.reconnects)
    asked |= await ask(bot, "after")
    assert await all_answered(bot.sandbox, asked) == {1: 3}
    assert bot.connection.connected


async def test_it_is_not_ready_while_it_hears_nothing(bot: RunningBot) -> None:
    assert bot.connection.connected
    bot.sandbox.faults.refuse_sockets = "internal_error"
    bot.sandbox.sockets.drop()
    await wait_until(lambda: not bot.connection.connected)
    bot.sandbox.faults.refuse_sockets = ""
    await bot.sandbox.wait_for(lambda: bot.connection.connected)


async def test_a_wedged_client_is_replaced(bot: RunningBot) -> None:
    socket = bot.connection._socket
    assert socket is not None
    socket.message_processor.cancel()  # connected, and nothing is worked on
    asked = await ask(bot, "does anybody work on this?")
    assert await all_answered(bot.sandbox, asked) == {1: 1}
    assert bot.connection._socket is not socket


async def test_a_closed_client_session_is_replaced(bot: RunningBot) -> None:
    socket = bot.connection._socket
    assert socket is not None
    await socket.aiohttp_client_session.close()
    asked = await ask(bot, "still there?")
    assert await all_answered(bot.sandbox, asked) == {1: 1}
    assert bot.connection._socket is not socket


async def test_a_socket_that_only_seems_to_hear_is_found_out(bot: RunningBot) -> None:
    asked = await ask(bot, "before")
    await all_answered(bot.sandbox, asked)
    bot.sandbox.faults.deaf = True  # pings are answered, and Slack tells it nothing
    missed = await ask(bot, "can you hear me?", "Bo")
    (ts,) = missed
    await bot.sandbox.wait_for(lambda: bot.connection.reconnects)
    bot.sandbox.faults.deaf = False
    await one_answer(bot.sandbox, "general", ts, "You said: can you hear me?")


async def test_what_came_from_where_the_bot_heard_nothing_yet_is_found(
    bot: RunningBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "SWEEP", 0.5)
    monkeypatch.setattr(backfill, "MOST_SILENT", 1)  # each gets its turn
    box = bot.sandbox
    await box.post("Ada", "general", "Lunch at twelve?")
    thread = await box.post("Bo", "general", "Who has the keys?")
    quiet = box.add_channel("quiet", ["Ada", "Bo", BOT_USER_ID])
    box.faults.deaf = True
    direct = await box.post("Ada", box.dm("Ada"), "anybody home?")
    mention = await box.post("Bo", quiet, f"{BOT} and here?")
    reply = await box.post("Ada", "general", f"{BOT} do you?", thread)
    box.faults.deaf = False
    await one_answer(box, box.dm("Ada"), direct, "You said: anybody home?")
    await one_answer(box, quiet, mention, "You said: and here?")
    found = await box.wait_for(lambda: answers(box, "general", thread))
    assert found[0]["ts"] > reply


async def test_an_app_without_the_newer_scopes_still_reads_what_it_may(
    bot: RunningBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "SWEEP", 0.5)
    app = bot.sandbox.context.app
    monkeypatch.setattr(
        bot.sandbox.context, "app", replace(app, scopes=tuple(s for s in app.scopes if s != "im:read"))
    )
    asked = await ask(bot, "before")
    await all_answered(bot.sandbox, asked)
    bot.sandbox.faults.deaf = True
    asked |= await ask(bot, "unheard")
    bot.sandbox.faults.deaf = False
    assert await all_answered(bot.sandbox, asked) == {1: 2}


@pytest.mark.parametrize("reason", ["refresh_requested", "warning"])
async def test_refreshed_sockets_overlap(bot: RunningBot, reason: str) -> None:
    sockets = bot.sandbox.sockets
    bot.sandbox.faults.retry_delays = ()  # nothing comes twice
    asked: dict[str, tuple[str, str]] = {}
    for number in range(3):
        refreshing = asyncio.ensure_future(sockets.refresh(reason, close_after=0.4))
        while not refreshing.done():
            asked |= await ask(bot, f"question {number}.{len(asked)}.", ("Ada", "Bo", "小林")[len(asked) % 3])
            await asyncio.sleep(0.1)
        await bot.idle()
    assert sockets.opened >= 4
    assert bot.sandbox.lost == []
    assert await all_answered(bot.sandbox, asked) == {1: len(asked)}


async def test_a_storm_of_redeliveries_is_one_request(bot: RunningBot) -> None:
    box = bot.sandbox
    asked = await ask(bot, "once")
    (ts,) = asked
    await box.wait_for(lambda: [e for e, _ in box.sockets.delivered if e.payload["event"].get("ts") == ts])
    payloads = [e.payload for e, _ in box.sockets.delivered if e.payload["event"].get("ts") == ts]
    storm = [
        box.sockets.send("events_api", payload, n, "timeout") for n in range(1, 9) for payload in payloads
    ]
    await asyncio.gather(*storm)
    await bot.idle()
    await asyncio.gather(*(box.sockets.send("events_api", payload, 9, "timeout") for payload in payloads))
    assert await all_answered(box, asked) == {1: 1}
    assert len(bot.engine.prompts) == 1

"""Dropped, half-open, wedged, deaf and refreshed sockets: nothing is missed and /readyz tells the truth."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from chaos_bench import BOT, all_answered, answers, one_answer
from slack_bench import Bench

from bot.sandbox.workspace import BOT_USER_ID
from handlers import catching_up, connection


async def ask(bench: Bench, text: str, person: str = "Ada") -> dict[str, tuple[str, str]]:
    """Mention the bot; what `all_answered` wants to know of it."""
    ts = await bench.sandbox.post(person, "general", f"{BOT} {text}")
    return {ts: ("general", text)}


@pytest.mark.parametrize("fault", ["drop", "go_half_open"])
async def test_a_lost_socket_is_replaced_and_nothing_is_missed(bench: Bench, fault: str) -> None:
    bench.sandbox.faults.ack_seconds = 0.5
    asked = await ask(bench, "before")
    await all_answered(bench.sandbox, asked)
    getattr(bench.sandbox.sockets, fault)()
    asked |= await ask(bench, "in the gap")
    await bench.sandbox.wait_for(lambda: bench.connection.reconnects, 15)
    asked |= await ask(bench, "after")
    assert await all_answered(bench.sandbox, asked) == {1: 3}
    assert bench.connection.connected


async def test_it_is_not_ready_while_it_hears_nothing(bench: Bench) -> None:
    assert bench.connection.connected
    bench.sandbox.faults.refuse_sockets = "internal_error"
    bench.sandbox.sockets.drop()
    for _ in range(100):
        if not bench.connection.connected:
            break
        await asyncio.sleep(0.05)
    assert not bench.connection.connected
    bench.sandbox.faults.refuse_sockets = ""
    await bench.sandbox.wait_for(lambda: bench.connection.connected, 15)


async def test_a_wedged_client_is_replaced(bench: Bench) -> None:
    socket = bench.connection._socket
    assert socket is not None
    socket.message_processor.cancel()  # connected, and nothing is worked on
    asked = await ask(bench, "does anybody work on this?")
    assert await all_answered(bench.sandbox, asked, 20) == {1: 1}
    assert bench.connection._socket is not socket


async def test_a_closed_client_session_is_replaced(bench: Bench) -> None:
    socket = bench.connection._socket
    assert socket is not None
    await socket.aiohttp_client_session.close()
    asked = await ask(bench, "still there?")
    assert await all_answered(bench.sandbox, asked, 20) == {1: 1}
    assert bench.connection._socket is not socket


async def test_a_socket_that_only_seems_to_hear_is_found_out(bench: Bench) -> None:
    asked = await ask(bench, "before")
    await all_answered(bench.sandbox, asked)
    bench.sandbox.faults.deaf = True  # pings are answered, and Slack tells it nothing
    missed = await ask(bench, "can you hear me?", "Bo")
    (ts,) = missed
    await bench.sandbox.wait_for(lambda: bench.connection.reconnects, 25)
    bench.sandbox.faults.deaf = False
    await one_answer(bench.sandbox, "general", ts, "You said: can you hear me?")


async def test_what_came_from_where_the_bot_heard_nothing_yet_is_found(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "SWEEP", 0.5)
    monkeypatch.setattr(catching_up, "MOST_UNHEARD", 1)  # each gets its turn
    box = bench.sandbox
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
    found = await box.wait_for(lambda: answers(box, "general", thread), 20)
    assert found[0]["ts"] > reply


async def test_an_app_without_the_newer_scopes_still_reads_what_it_may(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "SWEEP", 0.5)
    app = bench.sandbox.context.app
    monkeypatch.setattr(
        bench.sandbox.context, "app", replace(app, scopes=tuple(s for s in app.scopes if s != "im:read"))
    )
    asked = await ask(bench, "before")
    await all_answered(bench.sandbox, asked)
    bench.sandbox.faults.deaf = True
    asked |= await ask(bench, "unheard")
    bench.sandbox.faults.deaf = False
    assert await all_answered(bench.sandbox, asked) == {1: 2}


@pytest.mark.parametrize("reason", ["refresh_requested", "warning"])
async def test_refreshed_sockets_overlap(bench: Bench, reason: str) -> None:
    sockets = bench.sandbox.sockets
    bench.sandbox.faults.retry_delays = ()  # nothing comes twice
    asked: dict[str, tuple[str, str]] = {}
    for number in range(3):
        refreshing = asyncio.ensure_future(sockets.refresh(reason, close_after=0.4))
        while not refreshing.done():
            asked |= await ask(
                bench, f"question {number}.{len(asked)}.", ("Ada", "Bo", "小林")[len(asked) % 3]
            )
            await asyncio.sleep(0.1)
        await bench.idle()
    assert sockets.opened >= 4
    assert bench.sandbox.lost == []
    assert await all_answered(bench.sandbox, asked) == {1: len(asked)}


async def test_a_storm_of_redeliveries_is_one_request(bench: Bench) -> None:
    box = bench.sandbox
    asked = await ask(bench, "once")
    (ts,) = asked
    await box.wait_for(lambda: [e for e, _ in box.sockets.delivered if e.payload["event"].get("ts") == ts])
    payloads = [e.payload for e, _ in box.sockets.delivered if e.payload["event"].get("ts") == ts]
    storm = [
        box.sockets.send("events_api", payload, n, "timeout") for n in range(1, 9) for payload in payloads
    ]
    await asyncio.gather(*storm)
    await bench.idle()
    await asyncio.gather(*(box.sockets.send("events_api", payload, 9, "timeout") for payload in payloads))
    assert await all_answered(box, asked) == {1: 1}
    assert len(bench.engine.prompts) == 1

"""Socket mode over real sockets, with Slack's own client and its own logic for connecting again."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.sandbox import Sandbox


async def test_a_ticket_opens_one_connection(sandbox: Sandbox, client: AsyncWebClient) -> None:
    url = (await client.apps_connections_open(app_token=sandbox.app_token))["url"]
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url) as socket:
            hello = await socket.receive_json()
            assert hello["type"] == "hello"
            assert {"num_connections", "connection_info", "debug_info"} <= set(hello)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await session.ws_connect(url)
        assert refusal.value.status == 401


async def test_envelopes_are_acknowledged_once(sandbox: Sandbox, listener: Any) -> None:
    ts = await sandbox.post("Ada", "general", "hello")
    await sandbox.wait_for(lambda: listener.requests)
    await sandbox.wait_for(lambda: not sandbox.sockets.envelopes)
    (request,) = listener.requests
    assert request.type == "events_api"
    assert request.retry_attempt == 0
    assert request.payload["event"]["ts"] == ts
    assert request.payload["authorizations"][0]["user_id"] == sandbox.bot_user_id
    assert sandbox.lost == []


async def test_what_is_not_acknowledged_comes_again(sandbox: Sandbox, listen: Any) -> None:
    sandbox.faults.ack_seconds, sandbox.faults.retry_delays = 0.15, (0.0, 0.05)
    deaf = await listen(acks=False)
    await sandbox.post("Ada", "general", "hello")
    await sandbox.wait_for(lambda: sandbox.lost)
    assert [(r.retry_attempt, r.retry_reason) for r in deaf.requests] == [
        (0, ""),
        (1, "timeout"),
        (2, "timeout"),
    ]
    assert len({r.payload["event_id"] for r in deaf.requests}) == 1
    assert len({r.envelope_id for r in deaf.requests}) == 3


async def test_a_person_sees_when_a_command_fails(sandbox: Sandbox, listen: Any) -> None:
    await sandbox.command("Ada", "general", "/emotion", "x")
    said = await sandbox.wait_for(lambda: sandbox.ephemerals("Ada", "general"))
    assert "dispatch_failed" in said[0]["text"]
    sandbox.faults.ack_seconds = 0.1
    await listen(acks=False)
    await sandbox.command("Ada", "general", "/emotion", "x")
    said = await sandbox.wait_for(lambda: sandbox.ephemerals("Ada", "general")[1:])
    assert "operation_timeout" in said[0]["text"]
    assert sandbox.ephemerals("Bo", "general") == []


async def test_an_acknowledgement_may_carry_the_answer(sandbox: Sandbox, listener: Any) -> None:
    listener.answer = {"response_type": "in_channel", "text": "said in the ack"}
    await sandbox.command("Ada", "random", "/emotion", "x")
    await sandbox.wait_for(lambda: sandbox.messages("random"))
    assert sandbox.messages("random")[0]["text"] == "said in the ack"
    assert listener.requests[0].accepts_response_payload
    assert listener.requests[0].payload["is_enterprise_install"] == "false"


async def test_each_envelope_goes_to_one_of_the_connections(sandbox: Sandbox, listen: Any) -> None:
    both = [await listen(), await listen()]
    for number in range(6):
        await sandbox.post("Ada", "general", str(number))
    await sandbox.wait_for(lambda: sum(len(one.requests) for one in both) == 6)
    assert all(one.requests for one in both)
    texts = sorted(event["text"] for one in both for event in one.events)
    assert texts == [str(number) for number in range(6)]


async def test_the_sdk_follows_a_refresh(sandbox: Sandbox, listener: Any) -> None:
    await sandbox.sockets.refresh(close_after=0.2)
    await sandbox.wait_for(lambda: sandbox.sockets.opened == 2 and len(sandbox.sockets.connections) == 1)
    await sandbox.post("Ada", "general", "after")
    await sandbox.wait_for(lambda: listener.events)


async def test_a_warning_leaves_the_connection_in_use(sandbox: Sandbox, listen: Any) -> None:
    one = await listen()
    two = await listen()
    await sandbox.sockets.refresh("warning", close_after=0.0)
    await sandbox.wait_for(lambda: len(sandbox.sockets.connections) == 2 and sandbox.sockets.opened == 4)
    await sandbox.post("Ada", "general", "after")
    await sandbox.wait_for(lambda: one.events or two.events)


@pytest.mark.parametrize("fault", ["drop", "go_half_open"])
async def test_the_sdk_recovers_and_nothing_is_lost(sandbox: Sandbox, listen: Any, fault: str) -> None:
    sandbox.faults.ack_seconds, sandbox.faults.retry_delays = 0.5, (0.2,) * 20
    listener = await listen(ping_interval=0.25)
    getattr(sandbox.sockets, fault)()
    await sandbox.post("Ada", "general", "in the gap")
    await sandbox.wait_for(lambda: listener.events)
    assert sandbox.sockets.opened >= 2
    assert sandbox.lost == []


async def test_a_deaf_time_loses_events_for_good(sandbox: Sandbox, listener: Any) -> None:
    sandbox.faults.deaf = True
    await sandbox.post("Ada", "general", "nobody hears")
    await sandbox.wait_for(lambda: sandbox.lost)
    sandbox.faults.clear()
    await sandbox.post("Ada", "general", "heard")
    await sandbox.wait_for(lambda: listener.events)
    await asyncio.sleep(0.1)
    assert [event["text"] for event in listener.events] == ["heard"]

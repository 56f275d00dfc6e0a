"""Slack through a proxy, and the sandbox beside it directly: the SDK itself reads no NO_PROXY."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientHttpProxyError
from counting_proxy import Proxy, counting_proxy
from patience import wait_until
from running_bot import RunningBot, ephemerals_of
from slack_bolt.async_app import AsyncApp

from bot.doctor import slack
from bot.sandbox import Sandbox
from config.settings import Settings
from handlers.transport.socket import Socket
from handlers.transport.web_client import RateLimitedWebClient


@pytest.fixture
async def proxy(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    """The proxy that the environment names for every scheme; it refuses what it is asked for."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    async with counting_proxy() as started:
        monkeypatch.setenv("HTTPS_PROXY", started.url)
        monkeypatch.setenv("http_proxy", started.url)
        yield started


class GivenSocket(Socket):
    """A socket whose address is Slack's, without asking Slack for it."""

    async def issue_new_wss_url(self) -> str:
        return "wss://wss-primary.slack.com/link/?ticket=1"


def client_of(address: str) -> RateLimitedWebClient:
    """A client that tries each call once."""
    client = RateLimitedWebClient("xoxb-1", address)
    client.retry_handlers.clear()
    return client


async def test_a_bot_in_the_sandbox_asks_no_proxy(proxy: Proxy, sandbox: Sandbox, bot: RunningBot) -> None:
    await sandbox.command("Ada", "general", "/emotion", "+ a fine day")
    assert await ephemerals_of(bot, "Ada")
    ts = await sandbox.post("Ada", "general", f"<@{sandbox.bot_user_id}> hello")
    assert await bot.replies("general", ts)
    findings = [finding async for finding in slack.examine(bot.services.settings)]
    assert "workspace" in findings[0].said
    assert proxy.asked == []


async def test_slack_is_asked_through_the_proxy_on_every_way(proxy: Proxy) -> None:
    client = client_of("https://slack.com/api/")
    with pytest.raises(ClientHttpProxyError):
        await client.auth_test()
    with pytest.raises(ClientHttpProxyError):
        await client.respond("https://hooks.slack.com/commands/T1/2/3", {"text": "hi"})
    socket = GivenSocket(AsyncApp(client=client), "xapp-1", lambda: None)
    opening = asyncio.ensure_future(socket.open())  # which tries again and again
    await wait_until(lambda: len(proxy.asked) >= 3)
    opening.cancel()
    await asyncio.wait((opening,))
    assert list(dict.fromkeys(proxy.asked)) == [
        "CONNECT slack.com:443 HTTP/1.1",
        "CONNECT hooks.slack.com:443 HTTP/1.1",
        "CONNECT wss-primary.slack.com:443 HTTP/1.1",
    ]


async def test_the_doctor_asks_slack_through_the_proxy(proxy: Proxy) -> None:
    tokens = Settings(slack_bot_token="xoxb-1", slack_app_token="xapp-1")
    found = [finding async for finding in slack.examine(tokens)]
    assert "NO_PROXY" in found[0].mend
    assert set(proxy.asked) == {"CONNECT slack.com:443 HTTP/1.1"}


async def test_what_no_proxy_names_is_asked_directly(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "slack.test")
    client = client_of("http://api.slack.test:1/api/")
    with pytest.raises(OSError, match=r"api\.slack\.test"):
        await client.auth_test()
    with pytest.raises(OSError, match=r"hooks\.slack\.test"):
        await client.respond("http://hooks.slack.test:1/commands/1", {"text": "hi"})
    assert proxy.asked == []

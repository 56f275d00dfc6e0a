"""The way to Slack: the first connection, response_urls, and what is tried again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import ClientSession, InvalidURL, web
from aiohttp.test_utils import TestServer
from running_bot import RunningBot, Scripted, ephemerals_of, run_bot
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.app import metrics, retry
from bot.roles import Role
from bot.sandbox import Fault, Sandbox
from handlers.transport.slack_errors import SlackRefused, error_code, is_transient


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is tried at once."""
    monkeypatch.setattr(retry, "pause", lambda attempt, longest=30.0: 0.01)


async def test_a_slack_that_is_away_is_tried_until_it_is_back(
    sandbox: Sandbox, tmp_path: Path, roles: dict[str, Role]
) -> None:
    sandbox.faults.refuse_sockets = "internal_error"
    sandbox.faults.answer("auth.test", Fault(times=9, status=502))

    async def ask() -> None:
        async with run_bot(sandbox, f"sqlite+aiosqlite:///{tmp_path}/bot.sqlite3", Scripted(), roles) as bot:
            ts = await sandbox.post("Ada", "general", "@All-in-One Bot hello")
            await bot.replies("general", ts)

    asking = asyncio.ensure_future(ask())
    tries = "apps.connections.open"
    await sandbox.wait_for(lambda: [call.method for call in sandbox.calls].count(tries) > 6)
    assert not asking.done()
    sandbox.faults.refuse_sockets = ""
    await asking


@pytest.mark.parametrize("code", ["account_inactive", "invalid_auth"])
async def test_a_refusal_says_the_code_and_the_mend(
    sandbox: Sandbox, tmp_path: Path, roles: dict[str, Role], code: str
) -> None:
    sandbox.faults.refuse_sockets = code
    said = rf"refuses the bot \({code}\): check SLACK_BOT_TOKEN and SLACK_APP_TOKEN .* `python -m bot doctor`"
    with pytest.raises(SlackRefused, match=said):
        async with run_bot(sandbox, f"sqlite+aiosqlite:///{tmp_path}/bot.sqlite3", Scripted(), roles):
            raise AssertionError("it must not connect")


async def test_a_limited_response_url_is_waited_for_and_its_address_is_in_no_figure(bot: RunningBot) -> None:
    box = bot.sandbox
    box.faults.answer("response_url", Fault(times=2, status=429, retry_after=0))
    await box.command("Ada", "general", "/emotion", "+ a day")
    answer = (await ephemerals_of(bot, "Ada"))[0]
    await bot.idle()
    assert answer["text"] == "😄 LLM 情感判断：正面 (positive)"
    figures = [
        line for line in metrics.exposition().decode().splitlines() if "bot_slack_retries_total{" in line
    ]
    assert any('method="response_url",reason="too_many"' in line for line in figures)
    assert not any(name in line for name in box.context.links.links for line in figures)


@pytest.mark.parametrize(("status", "again"), [(200, False), (503, True)])
async def test_an_answer_that_is_no_json_has_a_name_and_its_status_decides(status: int, again: bool) -> None:
    """A proxy between the bot and Slack may answer in HTML."""

    async def proxy(_request: web.Request) -> web.Response:
        return web.Response(status=status, text="<html>", content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", proxy)
    async with TestServer(app) as server:
        client = AsyncWebClient(token="xoxb-1", base_url=str(server.make_url("/")))
        with pytest.raises(SlackApiError) as caught:
            await client.auth_test()
    assert error_code(caught.value) == "SlackApiError"
    assert is_transient(caught.value) is again


async def test_an_address_that_is_none_is_not_tried_again() -> None:
    async with ClientSession() as session:
        with pytest.raises(InvalidURL) as caught:
            await session.post("http://")
    assert not is_transient(caught.value)

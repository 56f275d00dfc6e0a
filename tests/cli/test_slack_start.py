"""`run` with Slack's tokens: connected, refused, or patient while Slack is away."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from aiohttp import ClientConnectionError
from cli_bench import bot, running
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot import running as bot_running
from bot.running import SlackRefused, _connect, _say_refused
from bot.sandbox import Sandbox

NOBODY = "http://127.0.0.1:1/v1"  # no model is needed to connect


def tokens(sandbox: Sandbox, **changes: str) -> dict[str, str]:
    """The environment of a bot in the sandbox's workspace."""
    return {
        "SLACK_API_URL": sandbox.api_url,
        "SLACK_BOT_TOKEN": sandbox.bot_token,
        "SLACK_APP_TOKEN": sandbox.app_token,
        "LLM_URL": NOBODY,
        **changes,
    }


async def test_with_good_tokens_it_connects_and_starts_no_sandbox(tmp_path: Path) -> None:
    async with Sandbox() as sandbox:

        def start() -> tuple[str, str]:
            with running(tmp_path, "--port", "0", **tokens(sandbox)) as process:
                assert process.stop() == 0
                return process.ready, "".join(process.errors)

        ready, errors = await asyncio.to_thread(start)
        assert "| Slack connected |" in ready
        assert sandbox.sockets.opened == 1
    for secret in (sandbox.bot_token, sandbox.app_token, "ticket=" + "s"):
        assert secret not in errors


async def test_refused_tokens_end_it_with_one_line(tmp_path: Path) -> None:
    async with Sandbox() as sandbox:
        wrong = tokens(sandbox, SLACK_BOT_TOKEN="xoxb-wrong-token")
        found = await asyncio.to_thread(bot, tmp_path, "run", "--port", "0", **wrong)
    assert found.returncode == 1
    assert found.stderr.splitlines()[-1].startswith(
        "bot: Slack refuses the bot (invalid_auth): check SLACK_BOT"
    )
    assert "Traceback" not in found.stderr
    assert "xoxb-wrong-token" not in found.stderr


class Away:
    """A connection that fails with each of `problems` before it stands."""

    connected = False

    def __init__(self, *problems: Exception) -> None:
        self.problems = list(problems)

    async def start(self) -> None:
        if self.problems:
            raise self.problems.pop(0)

    async def stop(self) -> None:
        """Nothing is open."""


def said(code: str, status: int = 200) -> SlackApiError:
    """What the SDK raises for Slack's error `code`."""
    answer = AsyncSlackResponse(
        client=None,
        http_verb="POST",
        api_url="",
        req_args={},
        data={"error": code},
        headers={},
        status_code=status,
    )
    return SlackApiError(code, answer)


async def test_a_slack_that_is_away_is_tried_until_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bot_running, "SLACK_PAUSES", (0.0,))
    connection = Away(OSError(), ClientConnectionError(), said("ratelimited"), said("x", 502), OSError())
    await asyncio.wait_for(_connect(connection), 10)
    assert connection.problems == []
    with pytest.raises(SlackRefused, match="account_inactive"):
        await _connect(Away(OSError(), said("account_inactive")))


async def test_a_refusal_after_the_start_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    connecting = asyncio.ensure_future(_connect(Away(said("token_revoked"))))
    connecting.add_done_callback(_say_refused)
    with caplog.at_level(logging.ERROR):
        await asyncio.wait((connecting,))
        await asyncio.sleep(0)
    assert "token_revoked" in caplog.text

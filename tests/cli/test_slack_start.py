"""`run` with Slack's tokens: connected, or refused."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from bot_command import bot, running

from bot.app.run import _log_refusal
from bot.sandbox import Sandbox
from handlers.transport.slack_errors import SlackRefused

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


async def test_a_refusal_after_the_start_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def connect() -> None:
        raise SlackRefused("token_revoked")

    connecting = asyncio.ensure_future(connect())
    connecting.add_done_callback(_log_refusal)
    with caplog.at_level(logging.ERROR):
        await asyncio.wait((connecting,))
        await asyncio.sleep(0)
    assert "token_revoked" in caplog.text

"""A server's model that answers no label: Slack says so, in words that ping nobody."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from running_bot import RunningBot, ephemerals_of, shown

from bot.engine import NoLabel, Prompt
from bot.sandbox import Sandbox


@pytest.fixture(autouse=True)
def _talkative(bot: RunningBot, monkeypatch: pytest.MonkeyPatch) -> None:
    async def score(prompt: Prompt, labels: Sequence[str], *, exact: bool = True) -> list[float]:
        raise NoLabel("As an AI, <!channel>")

    monkeypatch.setattr(bot.engine, "score", score)


async def test_a_command_is_told_what_was_answered_instead(sandbox: Sandbox, bot: RunningBot) -> None:
    await sandbox.command("Ada", "general", "/emotion", "a fine day")
    text = (await ephemerals_of(bot, "Ada"))[0]["text"]
    assert "instead of one of the labels" in text
    assert "As an AI" in text
    assert "<!channel>" not in text


async def test_a_thread_is_told_so_too(sandbox: Sandbox, bot: RunningBot) -> None:
    ts = await sandbox.post("Ada", "general", f"<@{sandbox.bot_user_id}> #EMOTION# a fine day")
    (answer,) = await bot.replies("general", ts)
    assert "instead of one of the labels" in shown(answer)
    assert "<!channel>" not in shown(answer)

"""What a command, a shortcut or a button asked for comes all the same once its response_url has run out."""

from __future__ import annotations

import time
from typing import Any

import pytest
from running_bot import RunningBot, ephemerals_of, shown

from bot.sandbox import Fault
from handlers.transport import response_url


def half_an_hour_later(bot: RunningBot) -> None:
    """Every response_url that was given out is refused from now on."""
    bot.sandbox.workspace.clock = lambda: time.time() + 2_000


def direct(bot: RunningBot, person: str) -> list[dict[str, Any]]:
    return [m for m in bot.sandbox.messages(bot.sandbox.dm(person)) if m.get("bot_id")]


async def test_a_late_classification_is_still_for_its_asker_alone_and_can_be_shared(bot: RunningBot) -> None:
    box = bot.sandbox
    await box.command("Ada", "general", "/emotion", "what a day")
    half_an_hour_later(bot)
    answer = (await ephemerals_of(bot, "Ada"))[0]
    assert shown(answer).startswith("😄 LLM 情感判断：正面")
    assert box.ephemerals("Bo", "general") == box.messages("general") == direct(bot, "Ada") == []
    await box.press("Ada", "general", answer["ts"], "share_emotion")
    (public,) = await box.wait_for(lambda: box.messages("general"))
    assert "Ada shared:" in shown(public)


async def test_where_the_bot_is_not_in_the_channel_it_comes_as_a_direct_message(bot: RunningBot) -> None:
    await bot.sandbox.command("Ada", "random", "/emotion", "what a day")
    half_an_hour_later(bot)
    await bot.sandbox.wait_for(lambda: direct(bot, "Ada"))
    await bot.idle()
    assert shown(direct(bot, "Ada")[0]).startswith("😄 LLM 情感判断：正面")
    assert bot.app.slack.inbox.outcomes == {"answered": 1}


@pytest.mark.parametrize("seconds", [-1.0, 1_500.0], ids=["known to be too old", "refused"])
async def test_a_share_whose_link_is_gone_is_posted(
    bot: RunningBot, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    box = bot.sandbox
    await box.command("Ada", "general", "/emotion", "what a day")
    answer = (await ephemerals_of(bot, "Ada"))[0]
    monkeypatch.setattr(response_url, "LINK_SECONDS", seconds)
    if seconds > 0:
        box.faults.answer("response_url", Fault(status=404, error="used_url"))
    await box.press("Ada", "general", answer["ts"], "share_emotion")
    (public,) = await box.wait_for(lambda: box.messages("general"))
    assert "Ada shared:" in shown(public)


async def test_a_refused_chat_and_a_threads_mood_are_told_without_the_link(bot: RunningBot) -> None:
    box = bot.sandbox
    await box.command("Ada", "random", "/chat", "hello")
    half_an_hour_later(bot)
    (note,) = await box.wait_for(lambda: direct(bot, "Ada"))
    assert "/invite @" in shown(note)
    box.workspace.clock = time.time
    ts = await box.post("Bo", "general", "what a day")
    await box.shortcut("Bo", "thread_mood", "general", ts)
    half_an_hour_later(bot)
    (mood,) = await ephemerals_of(bot, "Bo")
    assert "😄" in shown(mood)


async def test_a_passing_fault_of_the_fallback_loses_nothing(bot: RunningBot) -> None:
    bot.sandbox.faults.answer("chat.postEphemeral", Fault(status=503))
    await bot.sandbox.command("Ada", "general", "/emotion", "what a day")
    half_an_hour_later(bot)
    answer = (await ephemerals_of(bot, "Ada"))[0]
    assert shown(answer).startswith("😄 LLM 情感判断：正面")

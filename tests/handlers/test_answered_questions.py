"""A question that is edited or deleted after it was answered: what the bot keeps of it follows."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from running_bot import RunningBot, changed, ephemerals_of, shown

BOT = "@All-in-One Bot"


async def asked(bot: RunningBot, text: str) -> tuple[str, str]:
    """A question that was answered; its ts, and the answer's."""
    ts = await bot.sandbox.post("Ada", "general", f"{BOT} {text}")
    (reply,) = await bot.replies("general", ts)
    await bot.idle()
    return ts, reply["ts"]


def message_key(bot: RunningBot, ts: str) -> str:
    """The key of the request that a message makes."""
    return f"message:{bot.sandbox.team_id}:{bot.sandbox.channels['general']}:{ts}"


async def edited(bot: RunningBot, ts: str, text: str) -> None:
    """Edit an answered question, and wait until the bot has taken in all that Slack tells of it."""
    told = len(bot.sandbox.sockets.delivered)
    await bot.sandbox.edit("Ada", "general", ts, f"{BOT} {text}")
    await bot.idle()
    assert len(bot.sandbox.sockets.delivered) == told + 2  # a mention, too


async def try_again(bot: RunningBot, ts: str, answer: str) -> list[str]:
    """What the thread's answers say after **Try again** was pressed."""
    await bot.sandbox.press("Ada", "general", answer, "try_again")
    await bot.sandbox.wait_for(lambda: bot.app.slack.inbox.outcomes["answered"] == 2)
    assert bot.sandbox.workspace.statuses == {}  # nothing says that it still thinks
    return [shown(message) for message in await bot.replies("general", ts)]


async def test_try_again_asks_the_question_as_it_reads_now(bot: RunningBot) -> None:
    ts, answer = await asked(bot, "what is a hreon?")
    await edited(bot, ts, "what is a heron?")
    (said,) = await try_again(bot, ts, answer)
    assert said.startswith("You said: what is a heron?")


async def test_try_again_judges_a_text_that_was_given_the_tag(bot: RunningBot) -> None:
    ts, answer = await asked(bot, "what a day")
    await edited(bot, ts, "#EMOTION# what a day")
    (said,) = await try_again(bot, ts, answer)
    assert said.startswith("😄 LLM 情感判断：正面 (positive)")


async def test_an_edit_is_no_new_question(bot: RunningBot) -> None:
    """Slack tells of a mention again at each edit of its message, and a forgotten thread has no requests."""
    box = bot.sandbox
    ts, answer = await asked(bot, "one")
    await box.press("Ada", "general", answer, "forget_thread")
    await ephemerals_of(bot, "Ada")
    await edited(bot, ts, "one, edited")
    assert len(bot.engine.prompts) == 1


async def test_a_mention_that_an_edit_adds_is_answered_once(bot: RunningBot) -> None:
    ts = await bot.sandbox.post("Ada", "general", "what is a heron?")
    await bot.sandbox.edit("Ada", "general", ts, f"{BOT} what is a heron?")
    await bot.replies("general", ts)
    await bot.idle()
    await edited(bot, ts, "what is a crane?")
    assert len(bot.engine.prompts) == 1


@pytest.mark.parametrize("in_thread", [False, True])
async def test_nothing_is_kept_of_a_question_that_was_deleted(
    bot: RunningBot, tmp_path: Path, in_thread: bool
) -> None:
    box = bot.sandbox
    bot.engine.answers = ["hello", "noted"] if in_thread else ["noted"]
    root, answer = await asked(bot, "hi" if in_thread else "my password is heron-7")
    ts = root
    if in_thread:
        ts = await box.post("Ada", "general", "my password is heron-7", root)
        answer = (await bot.replies("general", root, 2))[-1]["ts"]
        await bot.idle()
    await box.press("Bo", "general", answer, "judge_reply", f"+{message_key(bot, ts)}")
    await ephemerals_of(bot, "Bo")
    await box.delete("Ada", "general", ts)
    await changed(bot)
    await box.press("Ada", "general", answer, "try_again")
    (note,) = await ephemerals_of(bot, "Ada")
    assert note["text"] == "I no longer have what this button belongs to."
    with sqlite3.connect(tmp_path / "bot.sqlite3") as database:
        stored = "\n".join(database.iterdump())
    assert "heron-7" not in stored
    assert "noted" in stored  # its answer still stands in the thread
    assert [each.verdict for each in await bot.services.storage.feedback()] == [1]

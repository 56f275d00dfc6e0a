"""A question that is edited is answered as it reads now, in the same place; one that is deleted, no more."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from running_bot import RunningBot, changed, edits, is_finished, shown

from bot.sandbox import messages as sandbox_messages
from handlers.listeners import intake

BOT = "@All-in-One Bot"


def written(bot: RunningBot, ts: str) -> list[dict[str, Any]]:
    """All that the bot has posted in a thread, finished or not."""
    return [m for m in bot.sandbox.messages("general", ts) if m.get("bot_id") and m["ts"] != ts]


async def begun(bot: RunningBot, text: str) -> tuple[str, str]:
    """A question whose answer has begun and waits for `bot.engine.gate`; its ts, and the answer's."""
    bot.engine.gate = asyncio.Event()
    ts = await bot.sandbox.post("Ada", "general", f"{BOT} {text}")
    (answer,) = await bot.sandbox.wait_for(lambda: written(bot, ts))
    return ts, answer["ts"]


async def stored(bot: RunningBot, ts: str) -> list[str]:
    thread = f"slack:{bot.sandbox.team_id}:{bot.sandbox.channels['general']}:{ts}"
    return [turn.text for turn in await bot.services.storage.turns(thread)]


async def test_an_edit_while_it_writes_is_answered_anew_in_place(bot: RunningBot) -> None:
    ts, answer = await begun(bot, "what is a heron?")
    await bot.sandbox.edit("Ada", "general", ts, f"{BOT} what is a crane?")
    await bot.sandbox.wait_for(lambda: len(bot.engine.prompts) == 2)
    await bot.sandbox.edit("Ada", "general", ts, f"{BOT} what is a stork?")
    await bot.sandbox.wait_for(lambda: len(bot.engine.prompts) == 3)
    bot.engine.gate.set()
    (reply,) = await bot.replies("general", ts)
    await bot.idle()
    assert [m["ts"] for m in written(bot, ts)] == [answer]
    assert shown(reply).startswith("You said: what is a stork?")
    assert "heron" not in shown(reply)
    assert bot.sandbox.workspace.statuses == {}  # nothing says that it still thinks
    assert await stored(bot, ts) == ["what is a stork?", "You said: what is a stork?"]


async def test_a_question_that_becomes_a_text_to_classify_is_classified(bot: RunningBot) -> None:
    ts, answer = await begun(bot, "what a day")
    await bot.sandbox.edit("Ada", "general", ts, f"{BOT} #EMOTION# what a day")
    (reply,) = await bot.replies("general", ts)
    await bot.idle()
    assert (reply["ts"], reply["text"]) == (answer, "😄 LLM 情感判断：正面 (positive)")
    assert len(written(bot, ts)) == 1


async def test_an_edit_in_the_queue_changes_what_is_asked_and_keeps_its_place(bot: RunningBot) -> None:
    ts, _ = await begun(bot, "one")
    second = await bot.sandbox.post("Ada", "general", f"{BOT} two", ts)
    await bot.sandbox.post("Ada", "general", "three", ts)
    await bot.sandbox.wait_for(lambda: bot.app.slack.inbox.waiting == 2)
    await bot.sandbox.edit("Ada", "general", second, f"{BOT} number two")
    await changed(bot)
    key = f"message:{bot.sandbox.team_id}:{bot.sandbox.channels['general']}:{second}"
    request = await bot.services.storage.request(key)
    assert request is not None
    assert "number two" in str(request.payload)  # a later process would answer that, too
    bot.engine.gate.set()
    replies = await bot.replies("general", ts, 3)
    said = [shown(reply).splitlines()[0] for reply in replies]
    assert said == ["You said: one", "You said: number two", "You said: three"]


@pytest.mark.parametrize("late", [False, True])
async def test_what_changes_nothing_or_comes_late_leaves_the_answer_alone(
    bot: RunningBot, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    ts, _ = await begun(bot, "see https://example.org please")
    if late:
        monkeypatch.setattr(intake, "EDIT_SECONDS", -1.0)
        await bot.sandbox.edit("Ada", "general", ts, f"{BOT} something else")
    else:  # as Slack does when it has fetched a link's preview
        channel = bot.sandbox.workspace.channel("general")
        preview = [{"title": "Example", "from_url": "https://example.org"}]
        sandbox_messages.change(bot.sandbox.context, channel, ts, attachments=preview)
    await changed(bot)
    bot.engine.gate.set()
    (reply,) = await bot.replies("general", ts)
    await bot.idle()
    assert len(bot.engine.prompts) == 1
    assert shown(reply).startswith("You said: see")


async def test_an_edit_delivered_twice_counts_once(bot: RunningBot) -> None:
    ts, _ = await begun(bot, "one")
    await bot.sandbox.edit("Ada", "general", ts, f"{BOT} two")
    await bot.sandbox.wait_for(lambda: len(bot.engine.prompts) == 2)
    await changed(bot)
    again = [envelope.payload for envelope in edits(bot)]
    assert again
    await asyncio.gather(*(bot.sandbox.sockets.send("events_api", each, 1, "timeout") for each in again))
    bot.engine.gate.set()
    (reply,) = await bot.replies("general", ts)
    await bot.idle()
    assert len(bot.engine.prompts) == 2
    assert shown(reply).startswith("You said: two")


@pytest.mark.parametrize("reply", [False, True], ids=["the thread's first", "a reply"])
async def test_a_question_deleted_while_it_is_answered_is_forgotten(bot: RunningBot, reply: bool) -> None:
    box = bot.sandbox
    if reply:
        root = await box.post("Ada", "general", f"{BOT} hello")
        await bot.replies("general", root)
        bot.engine.gate = asyncio.Event()
        ts = await box.post("Ada", "general", "my password is heron", root)
        await box.wait_for(lambda: len(written(bot, root)) == 2)
    else:
        root, _ = await begun(bot, "my password is heron")
        ts = root
    await box.delete("Ada", "general", ts)
    await bot.idle()
    left = written(bot, root)
    assert len(left) == (1 if reply else 0)
    assert all(map(is_finished, left))
    assert not any("heron" in text for text in await stored(bot, root))
    assert bot.app.slack.inbox.outcomes["failed"] == 0
    key = f"message:{box.team_id}:{box.channels['general']}:{ts}"
    assert await bot.services.storage.request(key) is None
    bot.engine.gate.set()


async def test_a_question_deleted_in_the_queue_is_not_answered(bot: RunningBot) -> None:
    ts, _ = await begun(bot, "one")
    second = await bot.sandbox.post("Ada", "general", f"{BOT} two", ts)
    await bot.sandbox.wait_for(lambda: bot.app.slack.inbox.waiting == 1)
    await bot.sandbox.delete("Ada", "general", second)
    await changed(bot)
    bot.engine.gate.set()
    await bot.replies("general", ts)
    await bot.idle()
    assert len(bot.engine.prompts) == 1
    assert len(written(bot, ts)) == 1

"""A group direct message: the bot listens there as in a channel, whichever events tell it of a mention."""

from __future__ import annotations

from dataclasses import replace

import pytest
from running_bot import RunningBot, shown

BOT = "@All-in-One Bot"


def group_of(bot: RunningBot, *people: str) -> str:
    """The id of the group direct message between these people and the bot."""
    return bot.sandbox.workspace.open_mpim({bot.sandbox.users[name] for name in people}).id


async def test_people_talk_among_themselves_undisturbed(bot: RunningBot) -> None:
    group = group_of(bot, "Ada", "Bo")
    ts = await bot.sandbox.post("Ada", group, "Shall we order noodles?")
    await bot.sandbox.post("Bo", group, "Gladly.")
    await bot.sandbox.post("Bo", group, "With tofu.", ts)
    marker = await bot.sandbox.post("Ada", group, f"{BOT} what is tofu?")
    (reply,) = await bot.replies(group, marker)
    await bot.idle()
    assert shown(reply).startswith("You said: what is tofu?")
    assert len(bot.engine.prompts) == 1
    assert [m for m in bot.sandbox.messages(group) if m.get("bot_id")] == []
    assert [m for m in bot.sandbox.messages(group, ts) if m.get("bot_id")] == []


@pytest.mark.parametrize("unheard", ["", "app_mention", "message.mpim"])
async def test_a_mention_is_answered_once_in_its_thread(bot: RunningBot, unheard: str) -> None:
    app = bot.sandbox.context.app
    bot.sandbox.context.app = replace(app, events=frozenset(app.events or ()) - {unheard})
    group = group_of(bot, "Bo", "小林")
    ts = await bot.sandbox.post("小林", group, f"{BOT} 豆腐是什么？")
    (reply,) = await bot.replies(group, ts)
    assert shown(reply).startswith("You said: 豆腐是什么？")
    marker = await bot.sandbox.post("Bo", group, f"{BOT} and rice?")
    await bot.replies(group, marker)
    await bot.idle()
    assert len(bot.engine.prompts) == 2  # one for each mention
    assert len(bot.sandbox.messages(group, ts)) == 2
    assert [m["ts"] for m in bot.sandbox.messages(group)] == [ts, marker]


async def test_the_thread_goes_on_without_mentions(bot: RunningBot) -> None:
    group = group_of(bot, "Ada", "Bo")
    ts = await bot.sandbox.post("Ada", group, f"{BOT} what is soy?")
    await bot.replies(group, ts)
    await bot.sandbox.post("Bo", group, "And miso?", ts)
    first, second = await bot.replies(group, ts, 2)
    assert shown(first).startswith("You said: what is soy?")
    assert "And miso?" in shown(second)
    await bot.sandbox.post("Ada", group, f"<@{bot.sandbox.users['Bo']}> lunch?", ts)
    await bot.sandbox.post("Ada", group, "Which is saltier?", ts)
    await bot.replies(group, ts, 3)
    await bot.idle()
    assert len(bot.engine.prompts) == 3  # what was said to Bo is not answered

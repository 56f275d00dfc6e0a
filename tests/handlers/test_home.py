"""The Home tab: what it says, one's own settings, and deleting one's data."""

from __future__ import annotations

import asyncio
from typing import Any

from running_bot import RunningBot, actions, shown

BOT = "@All-in-One Bot"


async def home(bot: RunningBot, user: str = "Ada") -> dict[str, Any]:
    """A person's Home tab, freshly opened."""
    box = bot.sandbox
    box.workspace.homes.pop(box.workspace.user(user).id, None)
    await box.open_home(user)
    found: dict[str, Any] = await box.wait_for(lambda: box.home(user))
    return found


def read(view: dict[str, Any]) -> str:
    """What a person reads on the tab."""
    return shown({**view, "text": ""})


async def test_it_says_what_the_bot_can_do_and_how_it_is(bot: RunningBot) -> None:
    view = await home(bot)
    text = read(view)
    for part in ("Hello, Ada", "/emotion TEXT", "Model: `scripted`", "State: ready", "0 waiting"):
        assert part in text
    assert "not measured yet" in text
    assert actions(view) == ["set_language", "set_options", "delete_data"]
    ts = await bot.sandbox.post("Ada", "general", f"{BOT} hello")
    await bot.replies("general", ts)
    assert "characters a second" in read(await home(bot))
    assert "你好，小林" in read(await home(bot, "小林"))


async def test_queue_and_state_are_those_of_now(bot: RunningBot) -> None:
    box, engine = bot.sandbox, bot.engine
    engine.gate = asyncio.Event()
    for number in range(6):
        await box.post("Ada", "general", f"{BOT} question {number}")
    await box.wait_for(lambda: bot.app.slack.inbox.waiting == 2)
    text = read(await home(bot))
    assert "State: busy" in text
    assert "2 waiting, 4 being answered" in text
    engine.gate.set()
    await bot.idle()


async def test_the_language_is_chosen_over_slacks(bot: RunningBot) -> None:
    box = bot.sandbox
    await home(bot)
    await box.press_view("Ada", "home", "set_language", "zh")
    await box.wait_for(lambda: "你好，Ada" in read(box.home("Ada") or {}))
    await box.command("Ada", "general", "/emotion", "")
    (note,) = await box.wait_for(lambda: box.ephemerals("Ada", "general"))
    assert "请在命令后面写上文本" in note["text"]


async def test_thread_follow_off_waits_for_a_mention(bot: RunningBot) -> None:
    box = bot.sandbox
    await home(bot)
    await box.press_view("Ada", "home", "set_options", ["neutral"])
    await bot.idle()
    settings = await bot.services.storage.settings(f"{box.team_id}:{box.users['Ada']}")
    assert (settings.neutral, settings.follow) == (True, False)
    ts = await box.post("Ada", "general", f"{BOT} hello")
    await bot.replies("general", ts)
    await box.post("Ada", "general", "talking to Bo here", ts)
    await box.post("Ada", "general", f"{BOT} and you?", ts)
    await bot.replies("general", ts, 2)
    await bot.idle()
    assert len(bot.engine.prompts) == 2
    assert "talking to Bo here" in [m.content for m in bot.engine.prompts[1].messages]


async def test_delete_my_data_deletes_it(bot: RunningBot) -> None:
    box, storage = bot.sandbox, bot.services.storage
    ts = await box.post("Ada", "general", f"{BOT} my secret is 42")
    await bot.replies("general", ts)
    thread = f"slack:{box.team_id}:{box.channels['general']}:{ts}"
    assert await storage.turns(thread)
    await home(bot)
    await box.press_view("Ada", "home", "delete_data")
    await box.wait_for(lambda: "I have deleted what I stored" in read(box.home("Ada") or {}))
    assert await storage.turns(thread) == []
    await bot.idle()

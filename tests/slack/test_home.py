"""The Home tab: what it says, one's own settings, and deleting one's data."""

from __future__ import annotations

import asyncio
from typing import Any

from slack_bench import Bench, actions, shown

BOT = "@All-in-One Bot"


async def home(bench: Bench, user: str = "Ada") -> dict[str, Any]:
    """A person's Home tab, freshly opened."""
    box = bench.sandbox
    box.workspace.homes.pop(box.workspace.user(user).id, None)
    await box.open_home(user)
    found: dict[str, Any] = await box.wait_for(lambda: box.home(user), 20)
    return found


def read(view: dict[str, Any]) -> str:
    """What a person reads on the tab."""
    return shown({**view, "text": ""})


async def test_it_says_what_the_bot_can_do_and_how_it_is(bench: Bench) -> None:
    view = await home(bench)
    text = read(view)
    for part in ("Hello, Ada", "/emotion TEXT", "Model: `scripted`", "State: ready", "0 waiting"):
        assert part in text
    assert "not measured yet" in text
    assert actions(view) == ["set_language", "set_options", "delete_data"]
    ts = await bench.sandbox.post("Ada", "general", f"{BOT} hello")
    await bench.replies("general", ts)
    assert "characters a second" in read(await home(bench))
    assert "你好，小林" in read(await home(bench, "小林"))


async def test_queue_and_state_are_those_of_now(bench: Bench) -> None:
    box, engine = bench.sandbox, bench.engine
    engine.gate = asyncio.Event()
    for number in range(6):
        await box.post("Ada", "general", f"{BOT} question {number}")
    await box.wait_for(lambda: bench.app.slack.inbox.waiting == 2, 20)
    text = read(await home(bench))
    assert "State: busy" in text
    assert "2 waiting, 4 being answered" in text
    engine.gate.set()
    await bench.idle()


async def test_the_language_is_chosen_over_slacks(bench: Bench) -> None:
    box = bench.sandbox
    await home(bench)
    await box.press_view("Ada", "home", "set_language", "zh")
    await box.wait_for(lambda: "你好，Ada" in read(box.home("Ada") or {}), 20)
    await box.command("Ada", "general", "/emotion", "")
    (note,) = await box.wait_for(lambda: box.ephemerals("Ada", "general"), 20)
    assert "请在命令后面写上文本" in note["text"]


async def test_thread_follow_off_waits_for_a_mention(bench: Bench) -> None:
    box = bench.sandbox
    await home(bench)
    await box.press_view("Ada", "home", "set_options", ["neutral"])
    await box.wait_for(lambda: not box.sockets.envelopes, 20)  # it is stored before it is acknowledged
    settings = await bench.services.storage.settings(f"{box.team_id}:{box.users['Ada']}")
    assert (settings.neutral, settings.follow) == (True, False)
    ts = await box.post("Ada", "general", f"{BOT} hello")
    await bench.replies("general", ts)
    await box.post("Ada", "general", "talking to Bo here", ts)
    await box.post("Ada", "general", f"{BOT} and you?", ts)
    await bench.replies("general", ts, 2)
    await bench.idle()
    assert len(bench.engine.prompts) == 2
    assert "talking to Bo here" in [m.content for m in bench.engine.prompts[1].messages]


async def test_delete_my_data_deletes_it(bench: Bench) -> None:
    box, storage = bench.sandbox, bench.services.storage
    ts = await box.post("Ada", "general", f"{BOT} my secret is 42")
    await bench.replies("general", ts)
    thread = f"slack:{box.team_id}:{box.channels['general']}:{ts}"
    assert await storage.turns(thread)
    await home(bench)
    await box.press_view("Ada", "home", "delete_data")
    await box.wait_for(lambda: "I have deleted what I stored" in read(box.home("Ada") or {}), 20)
    assert await storage.turns(thread) == []
    await bench.idle()

"""Slack's assistant pane: greeting, prompts, title, answers, and the channel that is looked at."""

from __future__ import annotations

from typing import Any

from running_bot import RunningBot, shown

from bot.sandbox.workspace import Pane


async def opened(bot: RunningBot, user: str = "Ada", viewed_channel: str = "") -> tuple[str, str, Pane]:
    """A new pane that has greeted: its channel, its thread and what the app has set on it."""
    box = bot.sandbox
    dm, ts = box.dm(user), await box.open_assistant(user, viewed_channel)
    panes = box.workspace.panes
    await box.wait_for(lambda: panes[(dm, ts)].prompts and box.messages(dm, ts)[1:])
    return dm, ts, panes[(dm, ts)]


async def test_it_greets_and_suggests_in_the_persons_language(bot: RunningBot) -> None:
    dm, ts, pane = await opened(bot)
    assert shown(bot.sandbox.messages(dm, ts)[1]).startswith("Hello! Ask me anything")
    assert [prompt["title"] for prompt in pane.prompts] == [
        "How does this sound?", "Help me write a reply", "Explain something",
    ]  # fmt: skip
    dm, ts, pane = await opened(bot, "小林")
    assert shown(bot.sandbox.messages(dm, ts)[1]).startswith("你好！")
    assert pane.prompts[0]["message"].startswith("#EMOTION#")


async def test_it_answers_in_the_pane_and_names_the_conversation(bot: RunningBot) -> None:
    box = bot.sandbox
    dm, ts, pane = await opened(bot)
    asked = "How do I boil an egg?\nSoft, please. " + "And quickly, too. " * 5
    await box.post("Ada", dm, asked, ts)
    (reply,) = (await bot.replies(dm, ts))[:1]
    assert "You said: How do I boil an egg?" in shown(reply)
    assert pane.title == " ".join(asked.split())[:60]
    await box.post("Ada", dm, "And then?", ts)
    await bot.replies(dm, ts, 2)
    assert pane.title.startswith("How do I boil")
    assert [m.content for m in bot.engine.prompts[1].messages[1:]][-1] == "And then?"
    assert len(bot.engine.prompts[1].messages) == 4  # system, question, answer, question


async def test_the_status_line_shows_while_it_thinks(bot: RunningBot) -> None:
    seen: list[str] = []
    box = bot.sandbox
    box.workspace.subscribe(lambda change: seen.append(change.data.get("status", "")))
    dm, ts, _ = await opened(bot)
    await box.post("Ada", dm, "hello", ts)
    await bot.replies(dm, ts)
    assert "is thinking…" in seen
    assert not box.workspace.statuses


async def test_a_suggested_prompt_classifies(bot: RunningBot) -> None:
    dm, ts, pane = await opened(bot)
    await bot.sandbox.post("Ada", dm, pane.prompts[0]["message"], ts)
    (reply,) = await bot.replies(dm, ts)
    assert reply["text"].startswith(("😄 LLM 情感判断：", "😞 LLM 情感判断："))
    assert not bot.engine.prompts


async def test_a_question_about_the_channel_looked_at_reads_it(bot: RunningBot) -> None:
    box = bot.sandbox
    await box.post("Bo", "general", "The printer is on fire.")
    await box.post("小林", "general", "It is out now.")
    dm, ts, pane = await opened(bot, viewed_channel="general")
    assert pane.prompts[-1]["title"] == "What is going on here?"
    await box.post("Ada", dm, pane.prompts[-1]["message"], ts)
    await bot.replies(dm, ts)
    read = bot.engine.prompts[0].messages[-1].content
    assert read.splitlines()[:2] == ["> Bo: The printer is on fire.", "> 小林: It is out now."]
    assert "looking at" in read
    await box.post("Ada", dm, "Who wrote in #random?", ts)  # not the channel looked at
    await bot.replies(dm, ts, 2)
    assert "printer" not in bot.engine.prompts[1].messages[-1].content


async def test_viewed_channel_another_channel_changes_what_is_read(bot: RunningBot) -> None:
    box = bot.sandbox
    dm, ts, _ = await opened(bot, viewed_channel="general")
    await box.look_at("Ada", ts, "random")

    def context() -> Any:
        payload = (box.messages(dm, ts)[1].get("metadata") or {}).get("event_payload") or {}
        return payload.get("channel_id") == box.channels["random"]

    await box.wait_for(context)
    await box.post("Ada", dm, "What is being talked about in #random?", ts)
    (reply,) = await bot.replies(dm, ts)
    assert "/invite @" in shown(reply)  # the bot is not in there
    await box.join(box.bot_user_id, "random")
    await box.post("Bo", "random", "Lunch at noon?")
    await box.post("Ada", dm, "What is being talked about in #random?", ts)
    await bot.replies(dm, ts, 2)
    assert bot.engine.prompts[0].messages[-1].content.startswith("> Bo: Lunch at noon?")

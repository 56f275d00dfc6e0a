"""Talking with the bot: mentions, threads, direct messages, and what it ignores."""

from __future__ import annotations

import pytest
from running_bot import RunningBot, shown

BOT = "@All-in-One Bot"


def said(bot: RunningBot) -> list[list[str]]:
    """The conversation of each prompt the engine had, without the system prompt."""
    return [[m.content for m in prompt.messages[prompt.shared :]] for prompt in bot.engine.prompts]


async def test_a_mention_is_answered_once_in_its_thread(bot: RunningBot) -> None:
    ts = await bot.sandbox.post("Ada", "general", f"{BOT} what is 2+2?")
    (reply,) = await bot.replies("general", ts)
    assert shown(reply).startswith("You said: what is 2+2?")
    await bot.idle()
    assert len(bot.engine.prompts) == 1  # app_mention and message are one request
    assert len(bot.sandbox.messages("general", ts)) == 2
    assert len(bot.sandbox.messages("general")) == 1  # nothing at top level


async def test_the_thread_goes_on_without_mentions_and_says_who_spoke(bot: RunningBot) -> None:
    bot.engine.answers = ["Hello Ada.", "Hello Bo.", "Sure."]
    ts = await bot.sandbox.post("Ada", "general", f"{BOT} I am Ada & I < you")
    await bot.replies("general", ts, 1)
    await bot.sandbox.post("Bo", "general", "And I am Bo", ts)
    await bot.replies("general", ts, 2)
    await bot.sandbox.post("Ada", "general", "Who is here?", ts)
    await bot.replies("general", ts, 3)
    assert said(bot)[0] == ["I am Ada & I < you"]
    assert said(bot)[2] == [
        "Ada: I am Ada & I < you",
        "Hello Ada.",
        "Bo: And I am Bo",
        "Hello Bo.",
        "Ada: Who is here?",
    ]


async def test_direct_messages_and_tags(bot: RunningBot) -> None:
    dm = bot.sandbox.workspace.open_im(bot.sandbox.users["Ada"]).id
    ts = await bot.sandbox.post("Ada", dm, "hello")
    (reply,) = await bot.replies(dm, ts)
    assert shown(reply).startswith("You said: hello")
    ts = await bot.sandbox.post("Ada", dm, "#EMOTION#今天太棒了")
    (reply,) = await bot.replies(dm, ts)
    assert reply["text"] == "😄 LLM 情感判断：正面 (positive)"
    assert shown(reply).startswith("😄 LLM 情感判断：正面")
    ts = await bot.sandbox.post("Ada", "general", f"{BOT} #EMOTION# - bad")
    (reply,) = await bot.replies("general", ts)
    assert shown(reply).startswith("😞 LLM 情感判断：负面")
    assert len(bot.engine.prompts) == 1


@pytest.mark.parametrize("sign", [",", ":", " :", "，", "： ", "、", ";", "\u00a0", "\u3000"])
async def test_a_sign_behind_the_bots_name_is_no_part_of_what_is_said(bot: RunningBot, sign: str) -> None:
    name = f"<@{bot.sandbox.bot_user_id}>{sign}"
    ts = await bot.sandbox.post("Ada", "general", f"{name} #EMOTION# - so late again")
    (reply,) = await bot.replies("general", ts)
    assert reply["text"].startswith("😞 LLM 情感判断：负面")
    ts = await bot.sandbox.post("Ada", "general", f"{name} hello: there")
    await bot.replies("general", ts)
    assert said(bot)[-1] == ["hello: there"]


async def test_a_sign_in_the_middle_and_a_shortcode_stay(bot: RunningBot) -> None:
    name = f"<@{bot.sandbox.bot_user_id}>"
    texts = (f"{name} :sob: why?", f"{name}:sob: why?", f"well {name}, why?")
    for text in texts:
        ts = await bot.sandbox.post("Ada", "general", text)
        await bot.replies("general", ts)
    assert [turns[-1] for turns in said(bot)] == ["😭 why?", "😭 why?", "well , why?"]


async def test_what_is_ignored(bot: RunningBot) -> None:
    box = bot.sandbox
    await box.post("Ada", "general", "just talking")
    other = await box.post("Ada", "general", "a thread without the bot")
    await box.post("Bo", "general", "indeed", other)
    ts = await box.post("Ada", "general", f"{BOT} one")
    await bot.replies("general", ts)
    await box.edit("Ada", "general", ts, f"{BOT} one, edited")
    await box.post("Bo", "general", f"<@{box.users['Ada']}> lunch?", ts)
    await box.join("Bo", "general")
    await bot.idle()
    assert len(bot.engine.prompts) == 1
    # The edit and the side remark are remembered all the same.
    await box.post("Ada", "general", "and now?", ts)
    await bot.replies("general", ts, 2)
    assert said(bot)[1] == ["Ada: one, edited", "You said: one", "Bo: @Ada lunch?", "Ada: and now?"]


async def test_nothing_said_gets_usage(bot: RunningBot) -> None:
    ts = await bot.sandbox.post("Ada", "general", BOT)
    (reply,) = await bot.replies("general", ts)
    assert "Write your question behind my name" in shown(reply)
    ts = await bot.sandbox.post("小林", "general", f"{BOT} #EMOTION#")
    (reply,) = await bot.replies("general", ts)
    assert "在文本前加 `#EMOTION#` 就做情感判断" in shown(reply)


async def test_files_get_a_polite_no(bot: RunningBot) -> None:
    ts = await bot.sandbox.post("Ada", "general", f"{BOT} look", files=["cat.png"])
    (reply,) = await bot.replies("general", ts)
    assert "You said: look" in shown(reply)
    assert "I cannot read files" in shown(reply)


async def test_a_mention_deep_in_a_thread_reads_it_first(bot: RunningBot) -> None:
    box = bot.sandbox
    ts = await box.post("Ada", "general", "The code word is heron.")
    await box.post("Bo", "general", "Noted.", ts)
    await box.post("Ada", "general", f"{BOT} what is the code word?", ts)
    await bot.replies("general", ts)
    assert said(bot)[0][:2] == ["Ada: The code word is heron.", "Bo: Noted."]
    assert said(bot)[0][-1] == "Ada: what is the code word?"

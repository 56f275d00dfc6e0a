"""/emotion and /chat: what the asker sees, in the asker's language."""

from __future__ import annotations

import pytest
from running_bot import RunningBot, ephemerals_of, shown

from config.strings import Strings
from handlers.listeners.commands import parse


async def test_emotion_is_private_until_its_asker_shares_it(bot: RunningBot) -> None:
    box = bot.sandbox
    await box.command("Ada", "general", "/emotion", "今天太棒了 <!channel>")
    await bot.idle()
    answer = (await ephemerals_of(bot, "Ada"))[0]
    assert answer["text"] == "😄 LLM 情感判断：正面"
    assert shown(answer).startswith("😄 LLM 情感判断：正面")
    assert "<!channel>" not in shown(answer)
    assert box.messages("general") == []
    await box.press("Ada", "general", answer["ts"], "share_emotion")
    await box.press("Ada", "general", answer["ts"], "share_emotion")
    await box.wait_for(lambda: box.messages("general"))
    await bot.idle()
    (public,) = box.messages("general")
    assert public["text"].startswith("😄 LLM 情感判断：正面")
    assert "Ada shared:" in shown(public)


async def test_chat_opens_a_thread(bot: RunningBot) -> None:
    box = bot.sandbox
    await box.command("Ada", "general", "/chat", "How are you, @here?")
    (root,) = await box.wait_for(lambda: box.messages("general"))
    (reply,) = await bot.replies("general", root["ts"])
    assert "Ada asks:" in shown(root)
    assert "@here" not in shown(root)  # an invisible sign stands between
    assert "You said: How are you" in shown(reply)
    await box.post("Ada", "general", "And now?", root["ts"])
    await bot.replies("general", root["ts"], 2)
    assert len(bot.engine.prompts[-1].messages) >= 4  # system, question, answer, question
    await box.command("Ada", "general", "/chat", "forget")
    (note,) = await ephemerals_of(bot, "Ada")
    assert note["text"] == "Forgotten: 1 of your conversations in this channel."
    await box.post("Ada", "general", "Still there?", root["ts"])
    await bot.replies("general", root["ts"], 3)
    assert [m.content for m in bot.engine.prompts[-1].messages[1:]] == ["Still there?"]


async def test_where_the_bot_is_not_it_says_how_to_invite_it(bot: RunningBot) -> None:
    await bot.sandbox.command("Ada", "random", "/chat", "hello")
    (note,) = await ephemerals_of(bot, "Ada", "random")
    assert "/invite @" in note["text"]


@pytest.mark.parametrize(
    ("user", "text", "answer"),
    [
        ("Ada", "", "Write the text behind the command"),
        ("小林", "", "请在命令后面写上文本"),
        ("Ada", "--felings hello", "Did you mean `--feelings`?"),
        ("小林", "help", "我能做什么"),
    ],
)
async def test_mistyped_input_gets_the_nearest_usage(
    bot: RunningBot, user: str, text: str, answer: str
) -> None:
    await bot.sandbox.command(user, "general", "/emotion", text)
    (note,) = await ephemerals_of(bot, user)
    assert answer in note["text"]


def test_parse() -> None:
    strings = Strings("en")
    assert parse("/emotion", "—feelings so happy", strings).feelings  # a phone's dash
    assert parse("/emotion", "help me please", strings).text == "help me please"
    assert parse("/emotion", "#EMOTION# x", strings).text == "x"
    assert parse("/chat", "Forget", strings).forget
    assert parse("/chat", "forget me not", strings).text == "forget me not"

"""/emotion and /chat: what the asker sees, in the asker's language."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from running_bot import RunningBot, ephemerals_of, shown

from config.strings import Strings
from handlers.listeners.commands import Command, parse

STRINGS = Strings("en")


async def test_emotion_is_private_until_its_asker_shares_it(bot: RunningBot) -> None:
    box = bot.sandbox
    await box.command("Ada", "general", "/emotion", "今天太棒了 <!channel>")
    await bot.idle()
    answer = (await ephemerals_of(bot, "Ada"))[0]
    assert answer["text"] == "😄 LLM 情感判断：正面 (positive)"
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


async def test_each_reason_says_which_text_it_is_about(bot: RunningBot) -> None:
    texts = ("下雨了，-糟糕，\n屋顶漏水 <!here>", "出太阳了，-太热，" + "还是热，" * 40)
    for text in texts:
        await bot.sandbox.command("Ada", "general", "/emotion", text)
    shown_to_ada = await ephemerals_of(bot, "Ada", count=4)
    found = [message for message in shown_to_ada if message["text"].startswith("Because of ")]
    rain, sun = sorted((shown(reason).splitlines()[1] for reason in found), key=lambda line: "太阳" in line)
    assert rain.startswith("> 下雨了，-糟糕， 屋顶漏水 ")
    assert "<" not in rain
    assert sun.startswith("> 出太阳了，-太热，还是热")
    assert len(sun) < 100


@pytest.mark.parametrize(("user", "said"), [("Ada", "were read, and "), ("小林", "中间略去 ")])
async def test_what_was_left_out_of_a_long_text_is_said(bot: RunningBot, user: str, said: str) -> None:
    text = "".join(f"Day {number} of the trip was fine. " for number in range(1000))
    await bot.sandbox.command(user, "general", "/emotion", text)
    await bot.idle()
    answer = (await ephemerals_of(bot, user))[0]
    assert answer["text"].startswith("😄 LLM 情感判断：正面")
    assert said in answer["text"]


async def test_a_person_is_named_without_what_their_name_would_do_in_slack(bot: RunningBot) -> None:
    box = bot.sandbox
    name = "Eve *<!here>* & co"
    box.add_user(name)
    await box.command(name, "general", "/chat", "hello")
    (root,) = await box.wait_for(lambda: box.messages("general"))
    (reply,) = await bot.replies("general", root["ts"])
    await box.command(name, "general", "/emotion", "+ what a day")
    await bot.idle()
    answer = next(m for m in box.ephemerals(name, "general") if "情感判断" in m["text"])
    await box.press(name, "general", answer["ts"], "share_emotion")
    await box.wait_for(lambda: len(box.messages("general")) == 2)
    await box.press("Ada", "general", reply["ts"], "try_again")
    (refusal,) = await ephemerals_of(bot, "Ada")
    for message in (*box.messages("general"), refusal):
        assert "Eve" in shown(message)
        assert "&amp; co" in shown(message)
        assert not any(mark in shown(message) for mark in ("<!", "Eve *", "& co"))


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
        ("小林", "--banana 今天很好", "请输入 `/emotion -- --banana …`"),
        ("小林", "help", "我能做什么"),
    ],
)
async def test_mistyped_input_gets_the_nearest_usage(
    bot: RunningBot, user: str, text: str, answer: str
) -> None:
    await bot.sandbox.command(user, "general", "/emotion", text)
    (note,) = await ephemerals_of(bot, user)
    assert answer in note["text"]


def test_a_known_option_is_one_behind_two_dashes_or_the_long_dash_that_a_keyboard_makes_of_them() -> None:
    for typed in ("--feelings so happy", "—feelings so happy", "--FEELINGS so happy"):
        assert parse("/emotion", typed, STRINGS) == Command("so happy", feelings=True)
    assert parse("/chat", "—forget", STRINGS).forget
    assert parse("/chat", "Forget", STRINGS).forget
    assert parse("/emotion", "—help", STRINGS).problem == STRINGS("usage")


@pytest.mark.parametrize("space", [" ", "\n", "\t", "\u3000", " \r\n "])
def test_any_white_space_parts_an_option_from_the_text(space: str) -> None:
    assert parse("/emotion", f"--feelings{space}终于放假了", STRINGS) == Command("终于放假了", feelings=True)
    assert parse("/emotion", f"--{space}--weird start", STRINGS) == Command("--weird start")


@pytest.mark.parametrize(
    "text",
    [
        "——真是服了", "—— 算了", "– fine", "- one\n- two", "-feelings", "—well, well", "——feelings",
        "--真香", "--- cut here", "--it's late", "helping", "feelings", "feelngs", "help me please", "helpp",
    ],
)  # fmt: skip
def test_a_dash_or_a_lone_word_is_ordinary_text(text: str) -> None:
    assert parse("/emotion", text, STRINGS) == Command(text)


@pytest.mark.parametrize("text", ["forgot", "forget me not", "halp", "— and then?", "——为什么"])
def test_a_question_may_look_like_a_command(text: str) -> None:
    assert parse("/chat", text, STRINGS) == Command(text)


@pytest.mark.parametrize(
    ("command", "option", "nearest"),
    [
        ("/emotion", "--mood", "--feelings"),
        ("/emotion", "--feeling", "--feelings"),
        ("/emotion", "--fellings", "--feelings"),
        ("/chat", "--feelings", "--forget"),
        ("/emotion", "--hel", "--help"),
        ("/chat", "--forgit", "--forget"),
    ],
)
def test_an_option_that_nobody_has_is_explained_with_the_nearest_and_a_way_on(
    command: str, option: str, nearest: str
) -> None:
    problem = parse(command, f"{option} what a day", STRINGS).problem
    assert f"`{option}`" in problem
    assert f"`{nearest}`" in problem
    (way_on,) = re.findall(rf"`{command} (-- .*?) …`", problem)
    assert parse(command, f"{way_on} what a day", STRINGS) == Command(f"{option} what a day")


@given(st.sampled_from(["--feelings", "--help"]), st.data())
def test_a_long_dash_is_an_option_within_one_letter_of_one(option: str, data: st.DataObject) -> None:
    word = option.removeprefix("--")
    at, letter = data.draw(st.integers(0, len(word) - 1)), data.draw(st.sampled_from("aeiou"))
    for typo in (
        word[:at] + word[at + 1 :],
        word[:at] + letter + word[at:],
        word[:at] + letter + word[at + 1 :],
    ):
        if typo != word:
            assert STRINGS(
                "unknown_option", option=f"--{typo}", nearest=option, literal=f"/emotion -- --{typo}"
            ) in (parse("/emotion", f"—{typo} text", STRINGS).problem)


def test_a_tag_behind_the_command_is_taken_off() -> None:
    assert parse("/emotion", "#EMOTION# x", STRINGS).text == "x"

"""How a classification reads, on each surface, to who reads English and to who reads Chinese."""

from __future__ import annotations

import re

import pytest
from running_bot import RunningBot, ephemerals_of, shown

BOT = "@All-in-One Bot"
GOOD, BAD = "😄 LLM 情感判断：正面", "😞 LLM 情感判断：负面"


async def command(bot: RunningBot, user: str, text: str) -> tuple[str, str]:
    """The notification and the message that `/emotion` is answered with."""
    await bot.sandbox.command(user, "general", "/emotion", text)
    await bot.idle()
    answer = (await ephemerals_of(bot, user))[0]
    return answer["text"], shown(answer)


@pytest.mark.parametrize(
    ("user", "line"), [("Ada", f"{BAD} (negative)"), ("Bo", f"{BAD} (negative)"), ("小林", BAD)]
)
async def test_the_label_is_said_in_the_language_of_who_asks(bot: RunningBot, user: str, line: str) -> None:
    text, message = await command(bot, user, "- 排队两小时")
    assert text == message.splitlines()[0] == line
    ts = await bot.sandbox.post(user, "general", f"{BOT} #EMOTION# - 排队两小时")
    (reply,) = await bot.replies("general", ts)
    assert reply["text"] == shown(reply).splitlines()[0] == line


async def test_a_feeling_has_its_english_word_for_who_reads_english(bot: RunningBot) -> None:
    text, message = await command(bot, "Ada", "--feelings + 排到我了")
    assert re.fullmatch(rf"{GOOD} \(positive\)\n\S+ Feeling: [\u4e00-\u9fff]+ \([a-z]+, \d+%\)", text)
    assert message.startswith(text)


async def test_who_reads_chinese_sees_no_english(bot: RunningBot) -> None:
    text, message = await command(bot, "小林", "--feelings + 排到我了")
    assert re.fullmatch(rf"{GOOD}\n\S+ 情绪：[\u4e00-\u9fff]+（\d+%）", text)
    assert not re.search("[A-Za-z]", message.replace("LLM", ""))


@pytest.mark.parametrize(
    ("user", "labels"),
    [("Ada", ["正面 (positive)", "负面 (negative)"]), ("小林", ["正面", "负面"])],
)
async def test_each_row_of_a_threads_mood_names_its_label_so(
    bot: RunningBot, user: str, labels: list[str]
) -> None:
    ts = await bot.sandbox.post("Bo", "general", "+ 修好了")
    await bot.sandbox.post("Bo", "general", "- 又坏了", ts)
    await bot.sandbox.shortcut(user, "thread_mood", "general", ts)
    (mood,) = await ephemerals_of(bot, user)
    for text in (mood["text"], shown(mood)):
        assert re.findall(r"> (.+) \d+%$", text, re.MULTILINE) == labels


@pytest.mark.parametrize(("user", "line"), [("Ada", f"{GOOD} (positive)"), ("小林", GOOD)])
async def test_a_shared_answer_reads_as_its_sharer_saw_it(bot: RunningBot, user: str, line: str) -> None:
    await command(bot, user, "+ 修好了")
    private = (await ephemerals_of(bot, user))[0]
    await bot.sandbox.press(user, "general", private["ts"], "share_emotion")
    (public,) = await bot.sandbox.wait_for(lambda: bot.sandbox.messages("general"))
    assert public["text"].splitlines()[0] == shown(public).splitlines()[0] == line


@pytest.mark.parametrize(
    ("user", "begin", "weight"),
    [("Ada", "Because of ", r" \(\+0\.\d\d\)"), ("小林", "依据：", r"（\+0\.\d\d）")],
)
async def test_the_decisive_words_are_bold_without_marks_of_mrkdwn(
    bot: RunningBot, user: str, begin: str, weight: str
) -> None:
    await command(bot, user, "这家店，-难吃，<@U1>再也不来")
    reason = (await ephemerals_of(bot, user, count=2))[1]
    (section,) = reason["blocks"][0]["elements"]
    bold = [part["text"] for part in section["elements"] if part.get("style") == {"bold": True}]
    assert section["elements"][0] == {"type": "text", "text": begin}
    assert len(bold) == 1
    assert "-" in bold[0]
    assert reason["text"] == shown(reason).splitlines()[0]
    assert "*" not in reason["text"]
    assert re.search(rf"\S{weight}$", reason["text"])
    ts = await bot.sandbox.post(user, "general", f"{BOT} #EMOTION# 这家店，-难吃，再也不来")
    await bot.replies("general", ts)
    await bot.sandbox.wait_for(lambda: begin in shown(bot.sandbox.messages("general", ts)[1]))

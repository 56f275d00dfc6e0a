"""The message shortcuts: one message or a whole thread, for the asker's eyes only."""

from __future__ import annotations

from running_bot import RunningBot, actions, ephemerals_of, shown

from bot.sandbox import Fault

BOT = "@All-in-One Bot"


async def test_classify_emotion_on_any_message(bot: RunningBot) -> None:
    box = bot.sandbox
    ts = await box.post("Bo", "general", "- the build broke again <!here>")
    await box.shortcut("Ada", "classify_emotion", "general", ts)
    answer = (await ephemerals_of(bot, "Ada"))[0]
    assert answer["text"] == "😞 LLM 情感判断：负面 (negative)"
    assert "the build broke again" in shown(answer)
    assert "<!here>" not in str(answer)
    assert actions(answer) == ["share_emotion"]
    assert box.ephemerals("Bo", "general") == []
    assert len(box.messages("general")) == 1
    empty = await box.post("Bo", "general", "", files=["cat.png"])
    before = len(box.ephemerals("小林", "general"))
    await box.shortcut("小林", "classify_emotion", "general", empty)
    note = (await ephemerals_of(bot, "小林", count=before + 1))[-1]
    assert "没有可以判断的文字" in note["text"]


async def mood_of(bot: RunningBot, user: str = "Ada") -> tuple[str, dict[str, object]]:
    """The timeline of a thread of three people's messages and one of the bot's."""
    box = bot.sandbox
    bot.engine.answers = ["+ what a day"]
    ts = await box.post("Ada", "general", f"{BOT} + it works")
    await bot.replies("general", ts)
    await box.post("Bo", "general", f"<@{box.users['Ada']}> - not for me", ts)
    await box.post("小林", "general", f"<@{box.users['Ada']}> + 很好", ts)
    await box.shortcut(user, "thread_mood", "general", ts)
    found = (await ephemerals_of(bot, user))[0]
    await bot.idle()
    return ts, found


async def test_thread_mood_is_a_timeline_of_messages_not_of_people(bot: RunningBot) -> None:
    _, answer = await mood_of(bot)
    text = shown(answer)
    lines = [line for line in text.splitlines() if line.startswith(("😄", "😞", "😐"))]
    assert [line[0] for line in lines] == ["😄", "😞", "😄"]
    assert all("{time}" in line and "%" in line for line in lines)
    assert [line.split("> ")[1].split()[0] for line in lines] == ["正面", "负面", "正面"]
    assert "can be wrong" in text
    assert not any(name in str(answer["blocks"]) for name in ("Ada", "Bo", "小林"))
    assert not any(m.get("text") == answer["text"] for m in bot.sandbox.messages("general"))


async def test_the_chart_is_a_picture_in_the_askers_own_messages(bot: RunningBot) -> None:
    await mood_of(bot)
    (message,) = bot.sandbox.messages(bot.sandbox.dm("Ada"))
    (file,) = message["files"]
    assert file["alt_txt"] == "Mood of the thread over time: 3 messages"
    data = bot.sandbox.workspace.files[file["id"]].data
    assert data is not None
    assert data.startswith(b"\x89PNG\r\n\x1a\n")


async def test_without_file_upload_the_timeline_stands_alone(bot: RunningBot) -> None:
    bot.sandbox.faults.answer("files.getUploadURLExternal", Fault(error="missing_scope"))
    _, answer = await mood_of(bot)
    assert "正面" in shown(answer)
    assert bot.sandbox.messages(bot.sandbox.dm("Ada")) == []


async def test_a_thread_that_cannot_be_read_says_how_to_invite(bot: RunningBot) -> None:
    box = bot.sandbox
    ts = await box.post("Ada", "random", "hello")
    await box.shortcut("Ada", "thread_mood", "random", ts)
    (note,) = await ephemerals_of(bot, "Ada", "random")
    assert "/invite @" in note["text"]

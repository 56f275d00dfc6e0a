"""How an answer appears: streamed, updated, split, stopped, and within Slack's limits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from running_bot import RunningBot, actions, is_finished, shown

from bot.sandbox import Fault
from handlers.replies import stream_writer

BOT = "@All-in-One Bot"
LONG = "\n\n".join(f"Paragraph {n}. " + "words and words " * 20 for n in range(24))


def calls(bot: RunningBot, *methods: str) -> list[Any]:
    """The Web API calls the bot made."""
    return [call for call in bot.sandbox.context.calls if call.method in methods]


async def test_it_streams_from_the_first_words_at_most_a_call_a_second(
    bot: RunningBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_writer, "PERIOD", 1.0)
    bot.engine.answers, bot.engine.pause = ["one two three four five six seven eight nine ten " * 2], 0.2
    ts = await bot.sandbox.post("Ada", "general", f"{BOT} count")
    box = bot.sandbox
    partial = await box.wait_for(lambda: [m for m in box.messages("general", ts)[1:] if m["text"]])
    assert "one" in partial[0]["text"]
    assert "ten" not in partial[0]["text"], "what the engine says first does not wait for more"
    assert "stop_reply" in actions(partial[0])
    (reply,) = await bot.replies("general", ts)
    assert shown(reply).startswith("one two three")
    assert "nine ten" in shown(reply)
    made = calls(bot, "chat.startStream", "chat.appendStream", "chat.stopStream", "chat.update")
    assert made[0].method == "chat.startStream"
    # Counted and not measured one by one: a slow machine may take in two of them closer together.
    assert 3 <= len(made) <= made[-1].at - made[0].at + 2
    assert {"try_again", "forget_thread", "judge_reply"} == set(actions(reply))


@pytest.mark.parametrize("ended", [False, True])
async def test_where_streams_are_refused_the_message_is_updated(bot: RunningBot, ended: bool) -> None:
    if ended:  # Slack closes the stream in the middle
        bot.sandbox.faults.answer("chat.appendStream", Fault(error="message_not_in_streaming_state"))
    else:
        bot.sandbox.faults.answer("chat.startStream", Fault(times=9, error="unknown_method"))
    bot.engine.answers, bot.engine.pause = ["| a | b |\n|---|---|\n| 1 | 2 |\n\nand **so** on " * 6], 0.03
    ts = await bot.sandbox.post("Ada", "general", f"{BOT} table")
    (reply,) = await bot.replies("general", ts)
    assert "a | b\n--+--\n1 | 2" in shown(reply)
    assert shown(reply).count("and **so** on") == 6
    assert len(bot.sandbox.messages("general", ts)) == 2
    assert calls(bot, "chat.update")


async def test_a_long_answer_is_several_whole_messages(bot: RunningBot) -> None:
    bot.engine.answers = [LONG]
    ts = await bot.sandbox.post("Ada", "general", f"{BOT} long")
    replies = await bot.replies("general", ts, 3)
    await bot.idle()
    replies = await bot.replies("general", ts, 3)
    text = "\n\n".join("\n".join(b["text"] for b in m["blocks"] if b["type"] == "markdown") for m in replies)
    assert [p.strip() for p in text.split("\n\n")] == [p.strip() for p in LONG.split("\n\n")]
    assert all(shown(m).startswith("Paragraph") for m in replies)
    assert [bool(actions(m)) for m in replies] == [False] * (len(replies) - 1) + [True]


async def test_nobody_is_pinged_and_nothing_unfurls(bot: RunningBot) -> None:
    bot.engine.answers = ["Hey <!channel> <@U0BO000001> @here <!subteam^S1|@all> https://example.com/x"]
    ts = await bot.sandbox.post("Ada", "general", f"{BOT} ping")
    (reply,) = await bot.replies("general", ts)
    everything = str([reply["text"], reply["blocks"]])
    assert not any(ping in everything for ping in ("<!", "<@", "@here", "@all", "@channel"))
    assert all(call.arguments.get("unfurl_links") is False for call in calls(bot, "chat.postMessage"))


async def test_stop_again_and_forget_look_at_who_presses(bot: RunningBot) -> None:
    box, engine = bot.sandbox, bot.engine
    engine.answers, engine.gate = ["The beginning of a very long answer"], asyncio.Event()
    ts = await box.post("Ada", "general", f"{BOT} go")
    (partial,) = await box.wait_for(lambda: [m for m in box.messages("general", ts)[1:] if m["text"]])
    await box.press("Bo", "general", partial["ts"], "stop_reply")
    await box.wait_for(lambda: box.ephemerals("Bo", "general"))
    assert "Only Ada, who asked" in box.ephemerals("Bo", "general")[0]["text"]
    await box.press("Ada", "general", partial["ts"], "stop_reply")
    (reply,) = await bot.replies("general", ts)
    assert "The beg" in shown(reply)
    assert "Stopped." in shown(reply)
    engine.gate, engine.answers = None, ["Another answer"]
    await box.press("Bo", "general", reply["ts"], "try_again")
    await box.press("Ada", "general", reply["ts"], "try_again")
    await box.wait_for(lambda: "Another answer" in shown(box.messages("general", ts)[1]))
    await bot.idle()
    (reply,) = await bot.replies("general", ts)
    assert len(engine.prompts) == 2
    assert [m.content for m in engine.prompts[1].messages[1:]] == ["go"]
    thumb = reply["blocks"][1]["elements"][0]["negative_button"]["value"]
    await box.press("Bo", "general", reply["ts"], "judge_reply", thumb)
    await box.wait_for(lambda: len(box.ephemerals("Bo", "general")) == 3)
    (given,) = await bot.services.storage.feedback()
    assert (given.verdict, given.question, given.answer) == (-1, "go", "Another answer")
    await box.press("Bo", "general", reply["ts"], "forget_thread")
    await box.press("Ada", "general", reply["ts"], "forget_thread")
    await box.wait_for(lambda: any("Forgotten" in m["text"] for m in box.ephemerals("Ada", "general")))
    await box.post("Ada", "general", "and now?", ts)
    await bot.replies("general", ts, 2)
    assert [m.content for m in engine.prompts[2].messages[1:]] == ["and now?"]


async def test_a_broken_engine_gets_an_apology(bot: RunningBot) -> None:
    bot.engine.fails = True
    ts = await bot.sandbox.post("小林", "general", f"{BOT} 你好")
    (reply,) = await bot.replies("general", ts)
    assert "抱歉" in shown(reply)


async def test_when_busy_it_says_the_place_in_the_queue(bot: RunningBot) -> None:
    box, engine = bot.sandbox, bot.engine
    engine.gate = asyncio.Event()
    asked = [await box.post("Ada", "general", f"{BOT} question {n}") for n in range(6)]
    places = ["is busy: place 1 in the queue", "is busy: place 2 in the queue"]
    await box.wait_for(
        lambda: sorted(s for s, _ in box.workspace.statuses.values() if "place" in s) == places, 20
    )
    engine.gate.set()
    for number, ts in enumerate(asked):
        (reply,) = await bot.replies("general", ts)
        assert f"question {number}" in shown(reply)


async def test_acknowledged_while_replies_run(bot: RunningBot) -> None:
    """How soon is measured in benchmarks/slack.py; here no command may wait for a reply's end."""
    box, engine = bot.sandbox, bot.engine
    engine.pause = 0.02
    engine.answers = ["word " * 1500] * 4
    asked = [await box.post("Ada", "general", f"{BOT} long {number}") for number in range(4)]
    for number in range(40):
        await box.command("Bo", "general", "/emotion", f"fine {number}")
        await asyncio.sleep(0.03)
        # A slow machine may not take more of one person at once, and would say so.
        await box.wait_for(lambda least=number - 10: len(box.ephemerals("Bo", "general")) > least)
    await box.wait_for(lambda: len(box.ephemerals("Bo", "general")) == 40)
    assert len(engine.prompts) == 4
    assert not [m for ts in asked for m in box.messages("general", ts)[1:] if is_finished(m)]
    assert len(box.sockets.ack_times) >= 44
    engine.pause = 0
    await bot.idle()

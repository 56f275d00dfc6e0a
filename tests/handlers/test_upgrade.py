"""A bot starts on the database of version 0.1.0 with open requests of every kind, and answers each."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from running_bot import RunningBot, Scripted, is_finished, lose_events, run_bot, shown
from slack_sdk.web.async_client import AsyncWebClient

from bot.inbox.payloads import KINDS
from bot.roles import Role
from bot.sandbox import Sandbox
from bot.sandbox.interactive import Link
from config.settings import ROOT

DUMP = ROOT / "tests" / "data" / "requests_0.1.0.sql"
START = 1_700_000_000  # where the clock of the dump's sandbox began
BOT = "<@UBOT000001>"


def ts(seconds: int) -> str:
    """The timestamp of a message in the dump."""
    return f"{START + seconds}.000000"


async def replay(box: Sandbox) -> None:
    """The messages that stood in the dump's sandbox, at the same times, in this one."""
    app = AsyncWebClient(box.bot_token, base_url=box.api_url)
    general = box.channels["general"]

    async def post(seconds: int, user: str, channel: str, text: str, thread: int = 0) -> None:
        box.workspace.clock = lambda: START + seconds
        assert await box.post(user, channel, text, ts(thread) if thread else None) == ts(seconds)

    await post(100, "Ada", "general", f"{BOT} What is a heron?")
    await post(200, "Ada", "general", f"{BOT} Forget this soon.")
    await post(300, "小林", "general", f"{BOT} 这里是小林")
    await post(400, "Bo", "general", f"{BOT} Tell me a story.")
    begun = await app.chat_startStream(
        channel=general,
        thread_ts=ts(400),
        markdown_text="Once up",
        recipient_team_id=box.team_id,
        recipient_user_id=box.users["Bo"],
    )
    assert begun["ts"] == ts(400).replace(".000000", ".000001")
    await post(500, "Ada", "general", "And a stork?", 100)
    await post(600, "小林", "general", f"{BOT} 你好")
    await post(700, "Ada", box.dm("Ada"), "Are you there?")
    await post(800, "Ada", "general", "We need a plan.")
    await app.chat_postMessage(channel=general, thread_ts=ts(800), text="Shall I help?")
    await post(802, "Bo", "general", "Any news?", 800)
    await post(900, "Bo", "general", f"{BOT} #EMOTION# - the build broke")
    await post(1100, "Bo", "general", "+ the build is green")
    await post(1101, "小林", "general", "- 我不信", 1100)
    box.workspace.clock = time.time


def load(box: Sandbox, path: Path) -> list[tuple[str, str]]:
    """Write the dump's database to `path`; key and kind of its open requests.

    The requests came just now, and their response_urls are this sandbox's: the address is replaced in the
    text, and the sandbox is told of the links.
    """
    text = re.sub(r"http://127\.0\.0\.1:\d+(?=/response/)", box.context.base_url, DUMP.read_text("utf-8"))
    database = sqlite3.connect(path)
    database.executescript(text)
    database.execute("UPDATE requests SET received_at = ?", (time.time(),))
    database.commit()
    is_open = "state IN ('received', 'answering')"
    for key, payload in database.execute(f"SELECT key, payload FROM requests WHERE {is_open}").fetchall():
        asked = json.loads(payload)
        assert "version" not in asked, key
        if url := asked.get("response_url"):
            link = Link(asked["user"], asked["channel"], time.time(), thread_ts=asked.get("thread_ts") or "")
            box.context.links.links[url.rpartition("/")[2]] = link
    found = database.execute(f"SELECT key, kind FROM requests WHERE {is_open} ORDER BY id").fetchall()
    database.close()
    return found


@pytest.fixture
async def replayed(sandbox: Sandbox) -> Sandbox:
    """The dump's workspace, which delivers none of what was said there as events."""
    sandbox.faults.deaf = True
    await replay(sandbox)
    await lose_events(sandbox)
    return sandbox


@pytest.fixture
async def upgraded(
    replayed: Sandbox, tmp_path: Path, roles: dict[str, Role]
) -> AsyncIterator[tuple[RunningBot, list[tuple[str, str]]]]:
    """A bot that has answered the open requests of the dump; their keys and kinds."""
    path = tmp_path / "bot.sqlite3"
    requests = load(replayed, path)
    async with run_bot(replayed, f"sqlite+aiosqlite:///{path}", Scripted(), roles) as bot:
        await bot.idle()
        yield bot, requests


Upgraded = tuple[RunningBot, list[tuple[str, str]]]


async def test_every_kind_of_request_was_open_and_none_is_or_has_failed(upgraded: Upgraded) -> None:
    bot, requests = upgraded
    assert {kind for _, kind in requests} == set(KINDS)
    assert await bot.services.storage.unfinished() == []
    assert not bot.app.slack.inbox.outcomes["failed"]
    assert bot.app.slack.inbox.outcomes["dropped"] == 1  # a reply in a thread that the bot has no part in


async def test_questions_are_answered_in_their_threads(upgraded: Upgraded) -> None:
    bot, _ = upgraded
    box = bot.sandbox

    def answer(seconds: int, channel: str = "general") -> dict[str, Any]:
        """The newest of the bot's messages in a thread."""
        found = [m for m in box.messages(channel, ts(seconds)) if m.get("bot_id")]
        assert is_finished(found[-1])
        return found[-1]

    assert shown(answer(100)).startswith("You said: And a stork?")
    assert shown(answer(600)).startswith("You said: 你好")
    assert shown(answer(700, box.dm("Ada"))).startswith("You said: Are you there?")
    assert shown(answer(800)).startswith("You said: Bo: Any news?")
    assert answer(900)["text"] == "😞 LLM 情感判断：负面 (negative)"
    stork = next(prompt for prompt in bot.engine.prompts if prompt.messages[-1].content == "And a stork?")
    assert "What is a heron?" in [message.content for message in stork.messages]  # its history is there


async def test_a_half_written_answer_is_finished_in_its_place(upgraded: Upgraded) -> None:
    bot, _ = upgraded
    (answer,) = [m for m in bot.sandbox.messages("general", ts(400)) if m.get("bot_id")]
    assert shown(answer).startswith("You said: Tell me a story.")
    assert "Once up" not in shown(answer)
    assert is_finished(answer)


async def test_ephemeral_answers_come_through_the_response_urls(upgraded: Upgraded) -> None:
    bot, _ = upgraded
    box = bot.sandbox
    ada = [m["text"] for m in box.ephemerals("Ada", "general")]
    lin = [m["text"] for m in box.ephemerals("小林", "general")]
    assert any(text.startswith("😄 LLM 情感判断：正面") for text in ada)  # `/emotion --feelings`
    assert "😞 LLM 情感判断：负面" in lin  # the message shortcut
    assert any("这个消息列的情绪" in text and text.count("{time}") == 2 for text in lin)  # the thread's mood
    assert "已忘记你在本频道的 2 段对话。" in lin  # `/chat forget`
    assert any("Forgotten: I no longer know" in text for text in ada)  # the button under an answer


async def test_what_everybody_sees_stands_in_the_channel(upgraded: Upgraded) -> None:
    bot, _ = upgraded
    posted = [m for m in bot.sandbox.messages("general") if m.get("bot_id")]
    assert any("Ada shared:" in shown(m) and "今天太棒了" in shown(m) for m in posted)
    (root,) = [m for m in posted if "Bo asks:" in shown(m)]
    (answer,) = await bot.replies("general", root["ts"])
    assert shown(answer).startswith("You said: How do I boil an egg?")


async def test_the_persons_data_is_deleted_last(upgraded: Upgraded) -> None:
    bot, _ = upgraded
    box = bot.sandbox
    assert "I have deleted what I stored" in shown({**(box.home("Bo") or {}), "text": ""})
    assert "Tell me a story." not in [
        turn.text for turn in await bot.services.storage.turns(f"slack:{box.team_id}:C0GENERAL1:{ts(400)}")
    ]


async def test_a_request_that_cannot_be_read_is_apologised_for_and_the_next_of_its_thread_is_answered(
    replayed: Sandbox, tmp_path: Path, roles: dict[str, Role]
) -> None:
    path = tmp_path / "bot.sqlite3"
    load(replayed, path)
    key = f"message:{replayed.team_id}:C0GENERAL1:{ts(300)}"
    database = sqlite3.connect(path)
    # In the thread of the heron, ahead of "And a stork?": a field of the stored message is lost.
    stored = {"team": replayed.team_id, "channel": "C0GENERAL1", "user": replayed.users["Ada"], "ts": ts(100)}
    database.execute(
        "UPDATE requests SET state = 'received', answer_ts = NULL, payload = ? WHERE key LIKE '%' || ?",
        (json.dumps({**stored, "thread_ts": ts(100), "surface": "mention"}), ts(100)),
    )
    database.execute("UPDATE requests SET state = 'received', kind = 'sing' WHERE key = ?", (key,))
    database.commit()
    database.close()
    async with run_bot(replayed, f"sqlite+aiosqlite:///{path}", Scripted(), roles) as bot:
        await bot.idle()
        apology, answer = await bot.replies("general", ts(100), 2)
        assert "something went wrong on my side" in shown(apology)
        assert shown(answer).startswith("You said: And a stork?")
        reason = "kind 'chat': field 'message' is missing"
        failed = await bot.services.storage.request(f"message:{replayed.team_id}:C0GENERAL1:{ts(100)}")
        assert failed is not None
        assert (failed.state, reason in str(failed.problem)) == ("failed", True)
        told = [m["text"] for m in replayed.ephemerals("小林", "general")]
        assert any("抱歉" in text for text in told)  # of what kind it was is not known: it is said in private
        assert bot.app.slack.inbox.outcomes["failed"] == 2
        assert await bot.services.storage.unfinished() == []

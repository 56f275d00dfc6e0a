"""The whole bot as a person meets it: the real model, Bolt over real sockets, a real browser."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.async_api import expect
from running_bot import Look, RunningBot, ephemerals_of, run_bot, shown

from bot.app.measured_engine import MeasuredEngine
from bot.engine import Engine, Prompt, Sampling
from bot.roles import Role
from bot.sandbox import Sandbox
from config.settings import ROOT
from handlers.replies import stream_writer

pytestmark = pytest.mark.model
BOT = "@All-in-One Bot"
PICTURE = ROOT / "artifacts" / "sandbox-page.png"


@pytest.fixture
async def real(
    sandbox: Sandbox, tmp_path: Path, engine: Engine, roles: dict[str, Role]
) -> AsyncIterator[RunningBot]:
    """A bot on the starter model that answers briefly and always the same."""
    brief = replace(roles["chat"], sampling=Sampling(max_tokens=24, temperature=0, repetition_penalty=1.1))
    database = f"sqlite+aiosqlite:///{tmp_path}/bot.sqlite3"
    async with run_bot(sandbox, database, engine, {**roles, "chat": brief}) as running:
        yield running


@pytest.mark.browser
async def test_a_command_a_mention_and_six_replies_by_mouse_and_keyboard(
    real: RunningBot, look: Look
) -> None:
    page = await look()
    box = page.get_by_label("Message #general", exact=True)
    await box.click()
    await page.keyboard.insert_text("/emotion 今天的实验终于成功了，太棒了！")
    await page.keyboard.press("Enter")
    await expect(page.locator("article.ephemeral").first).to_contain_text("😄 LLM 情感判断：正面")
    await box.click()
    await page.keyboard.insert_text("/emotion 快递又丢了，客服还挂我电话")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("😞 LLM 情感判断：负面")).to_be_visible()
    await page.keyboard.type("@All")
    await page.locator(".suggestions [role=option]").click()
    await page.keyboard.type("Hi, my name is Ada and I like tea.")
    await page.keyboard.press("Enter")
    await page.locator(".replies").click()
    thread = page.get_by_label("Thread", exact=True)
    done = thread.get_by_role("button", name="Try again")
    await expect(done).to_have_count(1)
    for number in range(6):
        await page.get_by_label("Reply…").click()
        await page.keyboard.type(f"Please say the number {number}.")
        await page.keyboard.press("Enter")
        await expect(done).to_have_count(2 + number)
    answers = await thread.locator("article.message .markdown").all_inner_texts()
    assert len(answers) == 7
    assert all(answer.strip() for answer in answers)
    assert await page.locator("#main article.message:not(.ephemeral)").count() == 1  # no noise at top level
    PICTURE.parent.mkdir(exist_ok=True)
    await page.screenshot(path=PICTURE)


async def test_the_reason_follows_the_label_and_a_feeling_is_named_on_request(real: RunningBot) -> None:
    box = real.sandbox
    await box.command("Ada", "general", "/emotion", "--feelings The parcel is lost again, I am furious.")
    label, reason = await ephemerals_of(real, "Ada", count=2)
    assert label["text"].startswith("😞 LLM 情感判断：负面 (negative)\n")
    assert re.search(r"Feeling: \w+ \([a-z]+, \d+%\)$", label["text"])
    assert re.fullmatch(r"Because of ([^*]+ \(\+0\.\d\d\)(, )?)+", reason["text"])
    assert shown(reason) == f"{reason['text']}\n> The parcel is lost again, I am furious."
    assert float(label["ts"]) < float(reason["ts"])
    ts = await box.post("Ada", "general", f"{BOT} #EMOTION# The parcel is lost again, I am furious.")
    (answer,) = await real.replies("general", ts)
    await box.wait_for(lambda: "Because of " in shown(box.messages("general", ts)[1]))
    assert answer["text"] == "😞 LLM 情感判断：负面 (negative)"


async def test_the_first_words_show_while_the_model_still_writes(
    real: RunningBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How soon they show is measured in benchmarks/slack.py."""
    monkeypatch.setattr(stream_writer, "PERIOD", 1.0)
    ts = await real.sandbox.post("Ada", "general", f"{BOT} Tell me a story about three friends.")
    (begun,) = await real.sandbox.wait_for(
        lambda: [len(m["text"]) for m in real.sandbox.messages("general", ts)[1:] if m["text"]], 90
    )
    (reply,) = await real.replies("general", ts)
    assert len(shown(reply)) > begun


class EndlessEngine(MeasuredEngine):
    """The real engine, whose answers begin again when they end: no processor computes one to its end."""

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[str]:
        while True:
            async with aclosing(super().stream(prompt, sampling)) as pieces:
                async for piece in pieces:
                    yield piece


async def test_commands_are_acknowledged_while_four_replies_are_computed(
    sandbox: Sandbox, tmp_path: Path, engine: Engine, roles: dict[str, Role]
) -> None:
    long = replace(roles["chat"], sampling=Sampling(max_tokens=400, temperature=0))
    database = f"sqlite+aiosqlite:///{tmp_path}/bot.sqlite3"
    async with run_bot(sandbox, database, EndlessEngine(engine), {**roles, "chat": long}) as bot:
        inbox, times = bot.app.slack.inbox, sandbox.sockets.ack_times
        for number in range(4):
            await sandbox.post("Ada", "general", f"{BOT} Write a long story about the number {number}.")
        await sandbox.wait_for(lambda: inbox.running == 4)
        times.clear()
        for number in range(40):
            await sandbox.command("Bo", "general", "/chat", "help" if number % 2 else "")
            await asyncio.sleep(0.03)
        await sandbox.wait_for(lambda: len(times) >= 40)
        assert inbox.running == 4
        for message in sandbox.messages("general"):
            job = inbox.job(f"message:{sandbox.team_id}:{sandbox.channels['general']}:{message['ts']}")
            if job is not None:
                job.stop.set()
        await bot.idle()

"""What the bot knows of a thread: quotations, late arrivals, restarts, and a window that is full."""

from __future__ import annotations

from pathlib import Path

from running_bot import RunningBot, Scripted, run_bot, shown

from bot.roles import Role
from bot.sandbox import Sandbox, messages

BOT = "@All-in-One Bot"


def said(bot: RunningBot, at: int = -1) -> list[str]:
    """The conversation of one prompt, without the system prompt."""
    prompt = bot.engine.prompts[at]
    return [message.content for message in prompt.messages[prompt.shared :]]


async def test_a_shared_message_is_read_as_a_quotation(bot: RunningBot) -> None:
    box = bot.sandbox
    ts = await box.post("Ada", "general", f"{BOT} what does this mean?")
    channel = box.workspace.channel("general")
    await bot.replies("general", ts)
    quoting = {
        "type": "message",
        "user": box.users["Ada"],
        "ts": box.workspace.new_ts(),
        "text": f"<@{box.bot_user_id}> and this?",
        "attachments": [
            {"is_msg_unfurl": True, "author_name": "Bo", "text": "Ship it &amp; sleep <!here>", "ts": "1.0"}
        ],
    }
    messages.post(box.context, channel, quoting, ts)
    await bot.replies("general", ts, 2)
    assert said(bot)[-1] == "> Bo: Ship it & sleep @here\nand this?"


async def test_links_channels_and_people_are_read_as_text(bot: RunningBot) -> None:
    box = bot.sandbox
    await box.post("Ada", "general", f"{BOT} is <@{box.users['Bo']}> in #random? See https://example.com/a_b")
    await box.wait_for(lambda: bot.engine.prompts)
    assert said(bot) == ["is @Bo in #random? See https://example.com/a_b"]


async def test_after_a_restart_elsewhere_the_thread_is_rebuilt(
    sandbox: Sandbox, tmp_path: Path, roles: dict[str, Role]
) -> None:
    async with run_bot(sandbox, f"sqlite+aiosqlite:///{tmp_path}/one.sqlite3", Scripted(), roles) as one:
        one.engine.answers = ["Hello Ada.", "Hello Bo."]
        ts = await sandbox.post("Ada", "general", f"{BOT} I am Ada")
        await one.replies("general", ts)
        await sandbox.post("Bo", "general", "and I am Bo", ts)
        await one.replies("general", ts, 2)
    sandbox.faults.deaf = True
    await sandbox.post("Bo", "general", "said while nobody listened", ts)
    await sandbox.wait_for(lambda: sandbox.lost)
    sandbox.faults.deaf = False
    async with run_bot(sandbox, f"sqlite+aiosqlite:///{tmp_path}/two.sqlite3", Scripted(), roles) as two:
        await sandbox.post("Ada", "general", "who is here?", ts)
        await two.replies("general", ts, 3)
        assert said(two) == [
            "Ada: I am Ada", "Hello Ada.", "Bo: and I am Bo", "Hello Bo.",
            "Bo: said while nobody listened", "Ada: who is here?",
        ]  # fmt: skip


async def test_a_deleted_message_is_forgotten(bot: RunningBot) -> None:
    box = bot.sandbox
    ts = await box.post("Ada", "general", f"{BOT} hello")
    await bot.replies("general", ts)
    slip = await box.post("Ada", "general", "my password is hunter2", ts)
    await bot.replies("general", ts, 2)
    await box.delete("Ada", "general", slip)
    await box.post("Ada", "general", "and?", ts)
    await bot.replies("general", ts, 3)
    assert not any("hunter2" in text for text in said(bot) if text.startswith("my"))


async def test_threads_never_mix(bot: RunningBot) -> None:
    box = bot.sandbox
    threads = [await box.post("Ada", "general", f"{BOT} I am in thread {n}") for n in range(3)]
    for ts in threads:
        await bot.replies("general", ts)
    for number, ts in enumerate(threads):
        await box.post("Ada", "general", "where am I?", ts)
        await bot.replies("general", ts, 2)
        assert said(bot)[0] == f"I am in thread {number}"
        assert not any(f"thread {other}" in str(said(bot)) for other in range(3) if other != number)


async def test_a_full_window_drops_the_oldest_turns_whole_and_says_so_once(
    sandbox: Sandbox, tmp_path: Path, roles: dict[str, Role]
) -> None:
    database = f"sqlite+aiosqlite:///{tmp_path}/bot.sqlite3"
    async with run_bot(sandbox, database, Scripted(), roles, context_tokens=1000) as bot:
        ts = await sandbox.post("Ada", "general", f"{BOT} message 0 " + "x" * 90)
        for number in range(1, 7):
            await bot.replies("general", ts, number)
            await sandbox.post("Ada", "general", f"message {number} " + "x" * 90, ts)
        replies = await bot.replies("general", ts, 7)
        noted = ["I now go by its newest messages only" in shown(message) for message in replies]
        assert noted.count(True) == 1
        kept = said(bot)
        assert kept[-1] == "message 6 " + "x" * 90
        assert 1 < len(kept) < 13
        assert all(text.removeprefix("You said: ").startswith("message ") for text in kept)
        assert all(text.endswith("x" * 90) for text in kept)  # whole turns

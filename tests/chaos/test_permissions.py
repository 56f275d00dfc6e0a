"""Guests, strangers of Slack Connect and people who are not named stay outside, and are told so once."""

from __future__ import annotations

from typing import Any

import pytest
from bot_processes import BOT, answers
from running_bot import RunningBot, Scripted, run_bot

from bot.roles import Role
from bot.sandbox import Fault, Sandbox


async def refused(bot: RunningBot, person: str) -> None:
    """Every way in is closed to this person, and it is said once, to nobody else."""
    box = bot.sandbox
    ts = await box.post(person, "general", f"{BOT} hello")
    await box.wait_for(lambda: box.ephemerals(person, "general"))
    await box.post(person, "general", f"{BOT} #EMOTION# hello")
    await box.command(person, "general", "/emotion", "hello")
    await box.post(person, box.dm(person), "hello")
    await bot.idle()
    assert answers(box, "general", ts) == []
    assert [m for m in box.messages(box.dm(person)) if m.get("bot_id")] == []
    said = [m["text"] for m in box.ephemerals(person, "general")]
    assert len(said) == 1
    assert "guests or people from outside" in said[0]
    assert box.ephemerals("Bo", "general") == []
    assert bot.engine.prompts == []


async def answered(bot: RunningBot, person: str) -> None:
    ts = await bot.sandbox.post(person, "general", f"{BOT} hello")
    await bot.replies("general", ts)


async def test_guests_stay_outside(bot: RunningBot) -> None:
    bot.sandbox.add_user("Gus", guest=True)
    await refused(bot, "Gus")
    await answered(bot, "Ada")


async def test_strangers_stay_outside(bot: RunningBot) -> None:
    bot.sandbox.add_user("Stan", team="T0ELSEWHERE")
    await refused(bot, "Stan")
    await answered(bot, "Ada")


async def test_whoever_slack_says_nothing_of_stays_outside(bot: RunningBot) -> None:
    bot.sandbox.add_user("Nemo")
    bot.sandbox.faults.answer("users.info", Fault(times=9, error="user_not_visible"))
    await bot.sandbox.post("Nemo", "general", f"{BOT} hello")
    await bot.sandbox.wait_for(lambda: bot.sandbox.ephemerals("Nemo", "general"))
    await bot.idle()
    assert bot.engine.prompts == []


async def test_a_guest_in_the_bots_thread_is_not_answered(bot: RunningBot) -> None:
    box = bot.sandbox
    box.add_user("Gus", guest=True)
    ts = await box.post("Ada", "general", f"{BOT} hello")
    await bot.replies("general", ts)
    await box.post("Gus", "general", "me too", ts)
    await bot.idle()
    assert len(answers(box, "general", ts)) == 1
    assert box.ephemerals("Gus", "general") == []


async def test_a_guest_presses_no_buttons(bot: RunningBot) -> None:
    box = bot.sandbox
    box.add_user("Gus", guest=True)
    ts = await box.post("Ada", "general", f"{BOT} hello")
    (reply,) = await bot.replies("general", ts)
    await box.press("Gus", "general", reply["ts"], "try_again")
    said = await box.wait_for(lambda: box.ephemerals("Gus", "general"))
    assert "guests or people from outside" in said[0]["text"]


async def test_what_a_guest_said_in_a_gap_is_not_answered_either(bot: RunningBot) -> None:
    box = bot.sandbox
    box.add_user("Gus", guest=True)
    await answered(bot, "Ada")
    box.faults.deaf = True
    guest = await box.post("Gus", "general", f"{BOT} hello")
    missed = await box.post("Bo", "general", f"{BOT} anybody?")
    await box.wait_for(lambda: box.lost)
    box.faults.deaf = False
    box.sockets.drop()
    await bot.replies("general", missed)
    await bot.idle()
    assert answers(box, "general", guest) == []


@pytest.mark.parametrize(
    ("settings", "lets_in", "keeps_out"),
    [
        ({"allowed_users": ("UADA000001",)}, "Ada", "Bo"),
        ({"allow_guests": True}, "Gus", "Stan"),
        ({"allowed_teams": ("T0ELSEWHERE",)}, "Stan", "Far"),
        ({"allowed_teams": ("T0ELSEWHERE",)}, "Stan", "Gus"),
    ],
)
async def test_settings_open_and_close_the_door(
    sandbox: Sandbox,
    database: str,
    roles: dict[str, Role],
    hurried: None,
    settings: dict[str, Any],
    lets_in: str,
    keeps_out: str,
) -> None:
    sandbox.add_user("Gus", guest=True)
    sandbox.add_user("Stan", team="T0ELSEWHERE")
    sandbox.add_user("Far", team="T0FARAWAY01")
    async with run_bot(sandbox, database, Scripted(), roles, **settings) as bot:
        await answered(bot, lets_in)
        ts = await sandbox.post(keeps_out, "general", f"{BOT} hello")
        await sandbox.wait_for(lambda: sandbox.ephemerals(keeps_out, "general"))
        await bot.idle()
        assert answers(sandbox, "general", ts) == []


@pytest.mark.parametrize("error", ["user_not_found", "user_not_visible", "missing_scope"])
async def test_an_allowed_team_is_let_in_by_what_the_event_says_and_named_by_it(
    sandbox: Sandbox, database: str, roles: dict[str, Role], hurried: None, error: str
) -> None:
    sandbox.add_user("Stan", team="T0ELSEWHERE")
    sandbox.add_user("Guest of theirs", team="T0ELSEWHERE", guest=True)
    sandbox.add_user("Far", team="T0FARAWAY01")
    sandbox.faults.answer("users.info", Fault(times=10_000, error=error))
    async with run_bot(sandbox, database, Scripted(), roles, allowed_teams=("T0ELSEWHERE",)) as bot:
        ts = await sandbox.post("Stan", "general", f"{BOT} hello")
        await bot.replies("general", ts)
        await sandbox.post("Stan", "general", "and again", ts)
        await bot.replies("general", ts, 2)
        turns = await bot.services.storage.turns(
            f"slack:{sandbox.team_id}:{sandbox.channels['general']}:{ts}"
        )
        assert {turn.author for turn in turns if turn.speaker == "user"} == {"Stan"}
        for outsider in ("Far", "Guest of theirs", "Bo"):  # whether Bo is a guest here, nobody says
            ts = await sandbox.post(outsider, "general", f"{BOT} hello")
            await sandbox.wait_for(lambda: sandbox.ephemerals(outsider, "general"))  # noqa: B023  awaited here
            await bot.idle()
            assert answers(sandbox, "general", ts) == []


async def test_a_closed_channel_gets_a_private_line(
    sandbox: Sandbox, database: str, roles: dict[str, Role], hurried: None
) -> None:
    closed = sandbox.add_channel("closed", ["Ada", sandbox.bot_user_id])
    allowed = (sandbox.channels["general"],)
    async with run_bot(sandbox, database, Scripted(), roles, allowed_channels=allowed) as bot:
        await answered(bot, "Ada")
        ts = await sandbox.post("Ada", closed, f"{BOT} hello")
        said = await sandbox.wait_for(lambda: sandbox.ephemerals("Ada", closed))
        assert "may not answer in this channel" in said[0]["text"]
        await bot.idle()
        assert answers(sandbox, closed, ts) == []

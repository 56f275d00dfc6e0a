"""Who hears what: Slack's rules for events, and how what people type is stored."""

from __future__ import annotations

from typing import Any

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.sandbox import App, Sandbox, SlackError
from bot.sandbox.rich_text import as_stored


async def test_a_mention_is_heard_twice(sandbox: Sandbox, listener: Any) -> None:
    ts = await sandbox.post("Ada", "general", "@Bot hello")
    await sandbox.wait_for(lambda: len(listener.requests) == 2)
    assert sorted(listener.kinds()) == ["app_mention", "message"]
    assert {event["ts"] for event in listener.events} == {ts}
    assert {event["text"] for event in listener.events} == {f"<@{sandbox.bot_user_id}> hello"}
    assert len({r.payload["event_id"] for r in listener.requests}) == 2


async def test_only_what_the_bot_may_hear(sandbox: Sandbox, listener: Any) -> None:
    await sandbox.post("Ada", "random", "@Bot are you there?")  # the bot is not in #random
    secret = sandbox.add_channel("secret", ["Ada", sandbox.bot_user_id], private=True)
    dm = sandbox.dm("Ada")
    await sandbox.post("Ada", dm, "@Bot in private")
    await sandbox.post("Ada", secret, "psst")
    await sandbox.wait_for(lambda: len(listener.events) >= 2)
    assert sorted((e["type"], e["channel_type"]) for e in listener.events) == [
        ("message", "group"),
        ("message", "im"),
    ]
    with pytest.raises(SlackError, match="not_in_channel"):
        await sandbox.post("Bo", secret, "let me in")


async def test_a_group_direct_message_names_its_kind(sandbox: Sandbox, listener: Any) -> None:
    group = sandbox.workspace.open_mpim({sandbox.users["Ada"], sandbox.users["Bo"]}).id
    ts = await sandbox.post("Ada", group, "lunch?")
    await sandbox.edit("Ada", group, ts, "dinner?")
    await sandbox.wait_for(lambda: len(listener.events) == 2)
    assert [(e["channel"], e["channel_type"]) for e in listener.events] == [(group, "mpim")] * 2


async def test_only_what_the_manifest_subscribes_to() -> None:
    app = App(events=frozenset({"app_mention", "message.im"}), scopes=("app_mentions:read",))
    async with Sandbox(manifest=app) as sandbox:
        sandbox.faults.deaf = True  # what would be sent is then found in `lost`
        await sandbox.post("Ada", "general", "@Bot hello")
        await sandbox.post("Ada", sandbox.dm("Ada"), "subscribed to, but without the scope")
        await sandbox.wait_for(lambda: sandbox.lost)
        assert [payload["event"]["type"] for payload in sandbox.lost] == ["app_mention"]
        assert await sandbox.command("Ada", "general", "/anything")


async def test_changes_joins_and_the_bot_itself(
    sandbox: Sandbox, client: AsyncWebClient, listener: Any
) -> None:
    ts = await sandbox.post("Ada", "general", "first")
    await sandbox.edit("Ada", "general", ts, "second")
    reply = await client.chat_postMessage(channel="C0GENERAL1", text="own", thread_ts=ts)
    await client.chat_update(channel="C0GENERAL1", ts=reply["ts"], text="own again")
    await sandbox.delete("Ada", "general", ts)
    await sandbox.join(sandbox.bot_user_id, "random", inviter="Bo")
    await sandbox.wait_for(lambda: len(listener.events) == 7)
    kinds = listener.kinds()
    assert kinds == [
        "message",
        "message/message_changed",
        "message",
        "message/message_changed",
        "message/message_changed",  # a parent with replies leaves a tombstone
        "message/channel_join",
        "member_joined_channel",
    ]
    own = listener.events[2]
    assert own["bot_id"]
    assert (own["thread_ts"], own["parent_user_id"]) == (ts, sandbox.users["Ada"])
    assert listener.events[1]["previous_message"]["text"] == "first"
    assert listener.events[4]["message"]["subtype"] == "tombstone"


async def test_each_edit_of_a_message_that_mentions_the_app_is_a_mention(
    sandbox: Sandbox, listener: Any
) -> None:
    ts = await sandbox.post("Ada", "general", "hello")
    await sandbox.edit("Ada", "general", ts, "hello @Bot")
    await sandbox.wait_for(lambda: "app_mention" in listener.kinds())
    await sandbox.edit("Ada", "general", ts, "good morning @Bot")
    await sandbox.wait_for(lambda: listener.kinds().count("app_mention") == 2)
    assert all(e["edited"]["user"] == e["user"] for e in listener.events if e["type"] == "app_mention")
    await sandbox.delete("Ada", "general", ts)
    await sandbox.wait_for(lambda: "message/message_deleted" in listener.kinds())


async def test_files_guests_and_the_apps_places(sandbox: Sandbox, listener: Any) -> None:
    await sandbox.post("Ada", "general", "see this", files=["notes.pdf"])
    await sandbox.wait_for(lambda: listener.events)
    assert listener.kinds() == ["message/file_share"]
    assert listener.events[0]["files"][0]["name"] == "notes.pdf"
    assert not listener.requests[0].payload["is_ext_shared_channel"]
    await sandbox.open_home("Ada")
    thread = await sandbox.open_assistant("Ada", viewed_channel="general")
    await sandbox.look_at("Ada", thread, "random")
    await sandbox.wait_for(lambda: len(listener.events) == 4)
    home, started, moved = listener.events[1:]
    assert (home["type"], home["tab"], "view" in home) == ("app_home_opened", "home", False)
    assert started["assistant_thread"]["context"]["channel_id"] == sandbox.channels["general"]
    assert started["assistant_thread"]["thread_ts"] == thread
    assert moved["assistant_thread"]["context"]["channel_id"] == sandbox.channels["random"]
    stranger = sandbox.add_user("Sam", team="T0OTHER001")
    await sandbox.post(stranger, "general", "hello from outside")
    await sandbox.wait_for(lambda: len(listener.events) == 5)
    assert listener.requests[4].payload["is_ext_shared_channel"]


TYPED = {
    "a < b && c > d": "a &lt; b &amp;&amp; c &gt; d",
    "@Ada and @xiaolin, not@Ada nor @Adam": "<@UADA000001> and <@UXIAOLIN01>, not@Ada nor @Adam",
    "@channel see #general": "<!channel> see <#C0GENERAL1|general>",
    "#EMOTION#今天": "#EMOTION#今天",
    "read https://x.y/a?b=1&c=2.": "read <https://x.y/a?b=1&amp;c=2>.",
    "`@Ada <b>` ```https://x.y @here```": "`@Ada &lt;b&gt;` ```https://x.y @here```",
    "<@UADA000001> <!here>": "<@UADA000001> <!here>",
    "<|im_start|>system": "&lt;|im_start|&gt;system",
}


@pytest.mark.parametrize("typed", TYPED)
def test_what_people_type_is_stored_as_slack_does(typed: str) -> None:
    assert as_stored(Sandbox(manifest=App()).workspace, typed) == TYPED[typed]

"""Group direct messages (mpim) as Slack's own client meets them: made once, with scopes of their own."""

from __future__ import annotations

import pytest
from refusals import error, refused
from slack_sdk.web.async_client import AsyncWebClient

from bot.sandbox import App, Sandbox, SlackError
from bot.sandbox.manifest import ALL_SCOPES


async def test_a_group_direct_message_is_made_once_and_found_again(
    sandbox: Sandbox, client: AsyncWebClient
) -> None:
    ada, bo = sandbox.users["Ada"], sandbox.users["Bo"]
    made = (await client.conversations_open(users=[bo, ada], return_im=True))["channel"]
    assert (made["is_mpim"], made["is_im"], made["is_private"]) == (True, False, True)
    assert made["name"] == "mpdm-ada--bo--bot-1"
    again = (await client.conversations_open(users=[ada, bo, ada, sandbox.bot_user_id]))["channel"]
    assert again["id"] == made["id"]
    members = await client.conversations_members(channel=made["id"])
    assert members["members"] == sorted([ada, bo, sandbox.bot_user_id])
    for listed in (client.conversations_list, client.users_conversations):
        assert [c["id"] for c in (await listed(types="mpim"))["channels"]] == [made["id"]]
        assert made["id"] not in [c["id"] for c in (await listed(types="im,private_channel"))["channels"]]
    with pytest.raises(SlackError, match="not_in_channel"):
        await sandbox.post("小林", made["id"], "may I?")
    crowd = [sandbox.add_user(f"Person {number}") for number in range(9)]
    assert await error(client.conversations_open(users=crowd)) == "too_many_users"
    assert await error(client.conversations_open(users=sandbox.bot_user_id)) == "cannot_dm_bot"


async def test_a_group_direct_message_has_scopes_of_its_own() -> None:
    others = tuple(scope for scope in ALL_SCOPES if not scope.startswith("mpim:"))
    async with Sandbox(manifest=App(scopes=others)) as sandbox:
        client = AsyncWebClient(token=sandbox.bot_token, base_url=sandbox.api_url)
        people = {sandbox.users["Ada"], sandbox.users["Bo"]}
        group = sandbox.workspace.open_mpim(people).id
        assert (await refused(client.conversations_open(users=[*people])))["needed"] == "mpim:write"
        for call in (client.conversations_info, client.conversations_members):
            assert (await refused(call(channel=group)))["needed"] == "mpim:read"
        assert (await refused(client.conversations_history(channel=group)))["needed"] == "mpim:history"
        sandbox.faults.deaf = True  # what would be sent is then found in `lost`
        await sandbox.post("Ada", group, "@Bot hello")
        await sandbox.wait_for(lambda: sandbox.lost)
        assert [payload["event"]["type"] for payload in sandbox.lost] == ["app_mention"]

"""The Web API as Slack's own client meets it: refusals by name, limits, paging, files, faults."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest
from refusals import error, refused
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient

from bot.sandbox import App, Fault, Sandbox

GENERAL = "C0GENERAL1"


async def test_tokens_are_checked(sandbox: Sandbox, client: AsyncWebClient) -> None:
    def with_token(token: str) -> AsyncWebClient:
        return AsyncWebClient(token=token, base_url=sandbox.api_url)

    assert (await client.auth_test())["user_id"] == sandbox.bot_user_id
    assert await error(AsyncWebClient(base_url=sandbox.api_url).auth_test()) == "not_authed"
    assert await error(with_token("xoxb-other").auth_test()) == "invalid_auth"
    assert await error(with_token(sandbox.app_token).auth_test()) == "not_allowed_token_type"
    bot_token = with_token(sandbox.bot_token)
    assert await error(bot_token.apps_connections_open(app_token=sandbox.bot_token)) == (
        "not_allowed_token_type"
    )
    assert await error(client.api_call("chat.noSuchThing")) == "unknown_method"


async def test_arguments_may_come_in_any_way(sandbox: Sandbox) -> None:
    url = f"{sandbox.api_url}chat.postMessage"
    block = [{"type": "divider"}]
    header = {"Authorization": f"Bearer {sandbox.bot_token}"}
    ways: list[dict[str, Any]] = [
        {"json": {"channel": GENERAL, "text": "one", "blocks": block}, "headers": header},
        {"data": {"channel": GENERAL, "text": "one", "blocks": json.dumps(block)}, "headers": header},
        {"data": {"channel": GENERAL, "text": "one", "token": sandbox.bot_token}},
        {"params": {"channel": "#general", "text": "one"}, "headers": header},
    ]
    async with aiohttp.ClientSession() as session:
        for way in ways:
            async with session.post(url, **way) as answer:
                assert (await answer.json())["ok"], way
        async with session.post(
            url, data="[1]", headers={**header, "Content-Type": "application/json"}
        ) as no:
            assert (await no.json())["error"] == "json_not_object"
    assert [m["text"] for m in sandbox.messages("general")] == ["one"] * 4


async def test_a_missing_scope_is_named() -> None:
    async with Sandbox(manifest=App(scopes=("chat:write", "im:history"))) as sandbox:
        client = AsyncWebClient(token=sandbox.bot_token, base_url=sandbox.api_url)
        answer = await refused(client.users_info(user=sandbox.users["Ada"]))
        assert (answer["error"], answer["needed"]) == ("missing_scope", "users:read")
        assert answer["provided"] == "chat:write,im:history"
        granted = await client.chat_postMessage(channel=GENERAL, text="hello")
        assert granted.headers["x-oauth-scopes"] == "chat:write,im:history"
        replies = client.conversations_replies(channel=GENERAL, ts=granted["ts"])
        assert (await refused(replies))["needed"] == "channels:history"
        assert await error(client.chat_postMessage(channel="random", text="hello")) == "not_in_channel"


def text(kind: str, length: int) -> dict[str, Any]:
    """A text object."""
    return {"type": kind, "text": "x" * length}


def button(**fields: Any) -> dict[str, Any]:
    """A button that is right but for `fields`."""
    return {"type": "button", "action_id": "a", "text": text("plain_text", 5), **fields}


WRONG = {
    "51 blocks": ([{"type": "divider"}] * 51, "/blocks]"),
    "long section": ([{"type": "section", "text": text("mrkdwn", 3001)}], "/blocks/0/text/text"),
    "empty section": ([{"type": "section", "text": text("mrkdwn", 0)}], "/blocks/0/text/text"),
    "long header": ([{"type": "header", "text": text("plain_text", 151)}], "/blocks/0/text/text"),
    "mrkdwn header": ([{"type": "header", "text": text("mrkdwn", 5)}], "/blocks/0/text/type"),
    "26 buttons": (
        [{"type": "actions", "elements": [button(action_id=str(n)) for n in range(26)]}],
        "/blocks/0/elements",
    ),
    "long label": (
        [{"type": "actions", "elements": [button(text=text("plain_text", 76))]}],
        "/blocks/0/elements/0/text/text",
    ),
    "long value": (
        [{"type": "actions", "elements": [button(value="x" * 2001)]}],
        "/blocks/0/elements/0/value",
    ),
    "long action_id": (
        [{"type": "actions", "elements": [button(action_id="x" * 256)]}],
        "/blocks/0/elements/0/action_id",
    ),
    "twice the same action_id": (
        [{"type": "actions", "elements": [button(), button()]}],
        "/blocks/0/elements/1/action_id",
    ),
    "twice the same block_id": (
        [{"type": "divider", "block_id": "b"}, {"type": "divider", "block_id": "b"}],
        "/blocks/1/block_id",
    ),
    "too much markdown": ([{"type": "markdown", "text": "x" * 6001}] * 2, "/blocks/1"),
    "unknown block": ([{"type": "marquee"}], "/blocks/0/type"),
    "11 in context": ([{"type": "context", "elements": [text("mrkdwn", 1)] * 11}], "/blocks/0/elements"),
    "image without words": ([{"type": "image", "image_url": "https://x.y/z"}], "/blocks/0/alt_text"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_blocks_beyond_the_limits_are_refused(client: AsyncWebClient, name: str) -> None:
    blocks, pointer = WRONG[name]
    answer = await refused(client.chat_postMessage(channel=GENERAL, text="fallback", blocks=blocks))
    assert answer["error"] == "invalid_blocks"
    assert any(pointer in note for note in answer["response_metadata"]["messages"])


@pytest.mark.filterwarnings("ignore:The top-level `text`")  # a blank text is what is tried here
async def test_text_limits(sandbox: Sandbox, client: AsyncWebClient) -> None:
    long = await client.chat_postMessage(channel=GENERAL, text="x" * 40_001)
    assert long["warning"] == "message_truncated"
    assert len(sandbox.messages("general")[0]["text"]) == 40_000
    ts = long["ts"]
    assert (await client.chat_update(channel=GENERAL, ts=ts, text="y" * 4000))["ok"]
    assert await error(client.chat_update(channel=GENERAL, ts=ts, text="y" * 4001)) == "msg_too_long"
    post = client.chat_postMessage
    assert await error(post(channel=GENERAL, text=" ")) == "no_text"
    assert await error(post(channel=GENERAL, markdown_text="x" * 12_001)) == "msg_too_long"
    assert await error(post(channel=GENERAL, text="a", markdown_text="b")) == "markdown_text_conflict"
    assert await error(post(channel="C0NOWHERE1", text="a")) == "channel_not_found"
    assert await error(post(channel=GENERAL, text="a", thread_ts="1700000000.000001")) == "thread_not_found"
    assert await error(post(channel=GENERAL, text="a", thread_ts="yesterday")) == "invalid_thread_ts"
    assert await error(client.api_call("chat.postMessage", json={"text": "a"})) == "invalid_arguments"
    bad = {"event_type": "x"}
    assert await error(post(channel=GENERAL, text="a", metadata=bad)) == "invalid_metadata_format"


async def test_only_own_messages_change(sandbox: Sandbox, client: AsyncWebClient) -> None:
    theirs = await sandbox.post("Ada", "general", "mine")
    assert await error(client.chat_update(channel=GENERAL, ts=theirs, text="x")) == "cant_update_message"
    assert await error(client.chat_delete(channel=GENERAL, ts=theirs)) == "cant_delete_message"
    assert await error(client.chat_delete(channel=GENERAL, ts="1.000001")) == "message_not_found"

    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "shown"}}]
    ts = (await client.chat_postMessage(channel=GENERAL, text="a", blocks=blocks))["ts"]
    await client.chat_update(channel=GENERAL, ts=ts, text="b")
    assert sandbox.messages("general")[-1]["blocks"][0]["text"]["text"] == "shown"  # kept, as Slack does
    await client.chat_update(channel=GENERAL, ts=ts, text="c", blocks=[])
    assert not sandbox.messages("general")[-1].get("blocks")
    await client.chat_delete(channel=GENERAL, ts=ts)
    assert [m["ts"] for m in sandbox.messages("general")] == [theirs]


async def test_replies_come_in_pages_with_the_parent_on_each(
    sandbox: Sandbox, client: AsyncWebClient
) -> None:
    mark = {"event_type": "answer", "event_payload": {"event": "Ev1"}}
    parent = (await client.chat_postMessage(channel=GENERAL, text="parent", metadata=mark))["ts"]
    sent = [await sandbox.post("Ada", "general", f"reply {n}", parent) for n in range(25)]
    got, parents = [], 0
    async for page in await client.conversations_replies(channel=GENERAL, ts=parent, limit=10):
        parents += page["messages"][0]["ts"] == parent
        got += [m["ts"] for m in page["messages"][1:]]
    assert got == sent
    assert parents == 3

    plain = await client.conversations_replies(channel=GENERAL, ts=parent, limit=1)
    full = await client.conversations_replies(channel=GENERAL, ts=parent, include_all_metadata=True)
    assert "metadata" not in plain["messages"][0]
    assert full["messages"][0]["metadata"] == mark
    assert full["messages"][0]["reply_count"] == 25
    since = await client.conversations_replies(channel=GENERAL, ts=parent, oldest=sent[20], inclusive=True)
    assert [m["ts"] for m in since["messages"][1:]] == sent[20:]
    assert await error(client.conversations_replies(channel=GENERAL, ts="1.000001")) == "thread_not_found"
    replies = client.conversations_replies(channel=GENERAL, ts=parent, cursor="nonsense")
    assert await error(replies) == "invalid_cursor"
    assert await error(client.conversations_history(channel=GENERAL, limit=1000)) == "invalid_limit"


async def test_history_has_no_replies_and_the_newest_first(sandbox: Sandbox, client: AsyncWebClient) -> None:
    first = await sandbox.post("Ada", "general", "first")
    await sandbox.post("Bo", "general", "in the thread", first)
    second = await sandbox.post("Bo", "general", "second")
    found = await client.conversations_history(channel=GENERAL)
    assert [m["ts"] for m in found["messages"]] == [second, first]
    one = await client.conversations_history(channel=GENERAL, latest=first, inclusive=True, limit=1)
    assert [m["ts"] for m in one["messages"]] == [first]
    assert await error(client.conversations_history(channel="C0RANDOM01")) == "not_in_channel"


async def test_a_stream_is_written_and_closed(sandbox: Sandbox, client: AsyncWebClient) -> None:
    parent = await sandbox.post("Ada", "general", "question")
    stream = await client.chat_stream(
        channel=GENERAL,
        thread_ts=parent,
        buffer_size=1,
        recipient_team_id=sandbox.team_id,
        recipient_user_id=sandbox.users["Ada"],
    )
    await stream.append(markdown_text="**Hello**")
    ts = stream.ts
    assert ts is not None
    assert sandbox.messages("general", parent)[-1]["streaming_state"] == "in_progress"
    assert await error(client.chat_update(channel=GENERAL, ts=ts, text="x")) == "streaming_state_conflict"
    await stream.append(markdown_text=" world")
    below = [{"type": "actions", "elements": [button()]}]
    await stream.stop(blocks=below, metadata={"event_type": "a", "event_payload": {}})
    done = sandbox.messages("general", parent)[-1]
    assert done["text"] == "**Hello** world"
    assert [b["type"] for b in done["blocks"]] == ["markdown", "actions"]
    late = client.chat_appendStream(channel=GENERAL, ts=ts, markdown_text="!")
    assert await error(late) == "message_not_in_streaming_state"
    start = client.chat_startStream
    assert await error(start(channel=GENERAL, thread_ts=parent)) == "missing_recipient_team_id"
    dm = sandbox.dm("Ada")
    question = await sandbox.post("Ada", dm, "hi")
    open_one = await start(channel=dm, thread_ts=question, markdown_text="half")
    too_long = client.chat_appendStream(channel=dm, ts=open_one["ts"], markdown_text="x" * 12_001)
    assert await error(too_long) == "msg_too_long"
    await sandbox.expire_streams()
    stop = client.chat_stopStream(channel=dm, ts=open_one["ts"])
    assert await error(stop) == "message_not_in_streaming_state"
    assert (await client.chat_update(channel=dm, ts=open_one["ts"], text="whole"))["ok"]
    assert not sandbox.messages(dm, question)[-1].get("blocks")


async def test_files_are_uploaded_and_shared(sandbox: Sandbox, client: AsyncWebClient) -> None:
    picture = b"\x89PNG\r\n\x1a\n" + b"\0" * 64
    await client.files_upload_v2(channel=GENERAL, content=picture, filename="chart.png", title="Mood")  # type: ignore[arg-type]  # bytes work
    file = sandbox.messages("general")[-1]["files"][0]
    assert (file["title"], file["mimetype"], file["size"]) == ("Mood", "image/png", len(picture))
    async with aiohttp.ClientSession() as session, session.get(file["url_private"]) as answer:
        assert await answer.read() == picture
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    empty = client.files_completeUploadExternal(files=[{"id": "F0NOTHING1"}], channel_id=GENERAL)
    assert await error(empty) == "file_not_found"


async def test_people(sandbox: Sandbox, client: AsyncWebClient) -> None:
    lin = sandbox.users["小林"]
    assert "locale" not in (await client.users_info(user=lin))["user"]
    assert (await client.users_info(user=lin, include_locale=True))["user"]["locale"] == "zh-CN"
    assert await error(client.users_info(user="U0NOBODY01")) == "user_not_found"
    opened = await client.conversations_open(users=lin)
    assert opened["channel"]["id"] == sandbox.dm("小林")
    members = await client.conversations_members(channel="C0RANDOM01")
    assert sandbox.bot_user_id not in members["members"]
    sandbox.workspace.channel("general").members.discard(lin)
    hidden = client.chat_postEphemeral(channel=GENERAL, user=lin, text="psst")
    assert await error(hidden) == "user_not_in_channel"
    guest = sandbox.add_user("Gus", guest=True, team="T0OTHER001")
    found = (await client.users_info(user=guest))["user"]
    assert found["is_restricted"]
    assert found["is_stranger"]


async def test_home_and_modals(sandbox: Sandbox, client: AsyncWebClient) -> None:
    ada = sandbox.users["Ada"]
    home = {"type": "home", "blocks": [{"type": "divider"}]}
    first = (await client.views_publish(user_id=ada, view=home))["view"]
    assert sandbox.home("Ada") == first
    stale = client.views_publish(user_id=ada, view=home, hash="1.old")
    assert await error(stale) == "hash_conflict"
    many = {"type": "home", "blocks": [{"type": "divider"}] * 101}
    assert await error(client.views_publish(user_id=ada, view=many)) == "invalid_arguments"
    markdown = {"type": "home", "blocks": [{"type": "markdown", "text": "x"}]}
    assert await error(client.views_publish(user_id=ada, view=markdown)) == "invalid_arguments"

    modal = {"type": "modal", "title": text("plain_text", 24), "blocks": [{"type": "divider"}]}
    trigger = sandbox.context.links.trigger(ada, sandbox.workspace.clock())
    shown = (await client.views_open(trigger_id=trigger, view=modal))["view"]
    assert sandbox.modal("Ada") == shown
    assert await error(client.views_open(trigger_id=trigger, view=modal)) == "exchanged_trigger_id"
    old = sandbox.context.links.trigger(ada, sandbox.workspace.clock() - 4)
    assert await error(client.views_open(trigger_id=old, view=modal)) == "expired_trigger_id"
    wide = {**modal, "title": text("plain_text", 25)}
    assert await error(client.views_update(view_id=shown["id"], view=wide)) == "invalid_arguments"
    assert (await client.views_update(view_id=shown["id"], view=modal))["ok"]


async def test_reactions_and_permalinks(sandbox: Sandbox, client: AsyncWebClient) -> None:
    ts = await sandbox.post("Ada", "general", "hello")
    await client.reactions_add(channel=GENERAL, name="eyes", timestamp=ts)
    again = client.reactions_add(channel=GENERAL, name="eyes", timestamp=ts)
    assert await error(again) == "already_reacted"
    assert sandbox.messages("general")[0]["reactions"][0]["users"] == [sandbox.bot_user_id]
    link = (await client.chat_getPermalink(channel=GENERAL, message_ts=ts))["permalink"]
    assert link.endswith(f"/archives/{GENERAL}/p{ts.replace('.', '')}")


async def test_faults_are_what_the_sdk_expects_of_slack(sandbox: Sandbox, client: AsyncWebClient) -> None:
    sandbox.faults.answer("chat.postMessage", Fault(status=429, retry_after=7))
    with pytest.raises(SlackApiError) as caught:
        await client.chat_postMessage(channel=GENERAL, text="one")
    assert caught.value.response.headers["Retry-After"] == "7"  # type: ignore[attr-defined]  # a response here
    sandbox.faults.answer("chat.postMessage", Fault(status=429, retry_after=0))
    client.retry_handlers.append(AsyncRateLimitErrorRetryHandler(max_retry_count=1))
    assert (await client.chat_postMessage(channel=GENERAL, text="two"))["ok"]

    sandbox.faults.answer("chat.postMessage", Fault(status=500, after=True))
    with pytest.raises(SlackApiError):
        await client.chat_postMessage(channel=GENERAL, text="three")
    sandbox.faults.answer("*", Fault(error="fatal_error"))
    assert await error(client.auth_test()) == "fatal_error"
    assert (await client.auth_test())["ok"]
    assert [m["text"] for m in sandbox.messages("general")] == ["two", "three"]
    assert sandbox.calls[-1].method == "auth.test"
    assert "token" not in sandbox.calls[-1].arguments

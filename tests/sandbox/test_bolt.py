"""The real Bolt app on the sandbox: commands, buttons, response URLs, modals, the assistant pane."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp, AsyncAssistant
from slack_sdk.web.async_client import AsyncWebClient

from bot.sandbox import App, Sandbox

BUTTON = {"type": "button", "action_id": "share", "text": {"type": "plain_text", "text": "Share"}}
SHARE = [{"type": "actions", "block_id": "row", "elements": [BUTTON]}]


@pytest_asyncio.fixture
async def app(sandbox: Sandbox, client: AsyncWebClient) -> AsyncIterator[AsyncApp]:
    """A connected Bolt app without listeners."""
    made = AsyncApp(client=client)
    handler = AsyncSocketModeHandler(made, sandbox.app_token)
    await handler.connect_async()
    yield made
    await handler.close_async()


async def test_a_command_answers_and_its_button_shares(sandbox: Sandbox, app: AsyncApp) -> None:
    bodies: list[dict[str, Any]] = []

    @app.command("/emotion")
    async def emotion(ack: Any, respond: Any, command: dict[str, Any]) -> None:
        await ack()
        await respond(text=f"heard {command['text']}", blocks=SHARE)

    @app.action("share")
    async def share(ack: Any, respond: Any, body: dict[str, Any]) -> None:
        await ack()
        bodies.append(body)
        await respond(text="shared", response_type="in_channel", replace_original=False)
        await respond(delete_original=True)

    await sandbox.command("Ada", "random", "/emotion", "a < b")
    (answer,) = await sandbox.wait_for(lambda: sandbox.ephemerals("Ada", "random"))
    assert answer["text"] == "heard a &lt; b"
    assert sandbox.ephemerals("Bo", "random") == []
    await sandbox.press("Ada", "random", answer["ts"], "share")
    await sandbox.wait_for(lambda: not sandbox.ephemerals("Ada", "random"))
    assert [m["text"] for m in sandbox.messages("random")] == ["shared"]
    (body,) = bodies
    assert body["container"]["is_ephemeral"]
    assert "message" not in body  # Slack does not keep ephemeral messages
    assert body["actions"][0]["block_id"] == "row"


async def test_response_urls_wear_out(sandbox: Sandbox, app: AsyncApp) -> None:
    urls: list[str] = []

    @app.command("/emotion")
    async def emotion(ack: Any, command: dict[str, Any]) -> None:
        await ack()
        urls.append(command["response_url"])

    now = sandbox.workspace.clock()
    for _ in range(2):
        await sandbox.command("Ada", "general", "/emotion", "x")
    await sandbox.wait_for(lambda: len(urls) == 2)
    async with aiohttp.ClientSession() as session:

        async def answer(url: str, **body: Any) -> tuple[int, str]:
            async with session.post(url, json=body) as found:
                return found.status, await found.text()

        assert await answer(urls[0], text="") == (400, "no_text")
        for number in range(4):
            assert await answer(urls[0], text=str(number)) == (200, "ok")
        status, text = await answer(urls[0], text="once more")
        assert (status, "used_url" in text) == (404, True)
        sandbox.workspace.clock = lambda: now + 31 * 60
        status, text = await answer(urls[1], text="late")
        assert (status, "expired_url" in text) == (404, True)
    assert len(sandbox.ephemerals("Ada", "general")) == 4


async def test_buttons_menus_and_shortcuts_of_messages(sandbox: Sandbox, app: AsyncApp) -> None:
    seen: dict[str, Any] = {}

    @app.action("feedback")
    async def feedback(ack: Any, action: dict[str, Any], body: dict[str, Any]) -> None:
        await ack()
        seen["feedback"] = (action["value"], body["user"]["id"], body["message"]["ts"])

    @app.action("more")
    async def more(ack: Any, action: dict[str, Any], respond: Any) -> None:
        await ack()
        seen["more"] = action["selected_option"]["value"]
        await respond(text="replaced", replace_original=True, blocks=[{"type": "divider"}])

    @app.shortcut("classify_emotion")
    async def classify(ack: Any, shortcut: dict[str, Any], respond: Any) -> None:
        await ack()
        seen["shortcut"] = shortcut["message"]["text"]
        await respond(text="only for you")

    def side(word: str) -> dict[str, Any]:
        return {"text": {"type": "plain_text", "text": word}, "value": word}

    thumbs = {
        "type": "feedback_buttons",
        "action_id": "feedback",
        "positive_button": side("up"),
        "negative_button": side("down"),
    }
    menu = {"type": "overflow", "action_id": "more", "options": [side("forget"), side("again")]}
    blocks = [{"type": "context_actions", "elements": [thumbs]}, {"type": "actions", "elements": [menu]}]
    ts = (await app.client.chat_postMessage(channel="C0GENERAL1", text="x", blocks=blocks))["ts"]
    await sandbox.press("Bo", "general", ts, "feedback", "down")
    await sandbox.press("Bo", "general", ts, "more", "again")
    await sandbox.wait_for(lambda: sandbox.messages("general")[0]["text"] == "replaced")
    assert seen == {"feedback": ("down", sandbox.users["Bo"], ts), "more": "again"}

    theirs = await sandbox.post("小林", "general", "太棒了")
    await sandbox.shortcut("Ada", "classify_emotion", "general", theirs)
    await sandbox.wait_for(lambda: sandbox.ephemerals("Ada", "general"))
    assert seen["shortcut"] == "太棒了"


async def test_home_and_modal_round_trip(sandbox: Sandbox, app: AsyncApp) -> None:
    got: dict[str, Any] = {}
    title = {"type": "plain_text", "text": "Settings"}
    field = {
        "type": "input",
        "block_id": "b",
        "label": title,
        "element": {"type": "plain_text_input", "action_id": "name"},
    }
    modal = {"type": "modal", "callback_id": "settings", "title": title, "submit": title, "blocks": [field]}

    @app.event("app_home_opened")
    async def opened(event: dict[str, Any], client: AsyncWebClient) -> None:
        await client.views_publish(user_id=event["user"], view={"type": "home", "blocks": SHARE})

    @app.action("share")
    async def pressed(ack: Any, body: dict[str, Any], client: AsyncWebClient) -> None:
        await ack()
        await client.views_open(trigger_id=body["trigger_id"], view=modal)

    @app.view("settings")
    async def submitted(ack: Any, view: dict[str, Any]) -> None:
        await ack()
        got.update(view["state"]["values"])

    await sandbox.open_home("Ada")
    await sandbox.wait_for(lambda: sandbox.home("Ada"))
    assert sandbox.home("Bo") is None
    await sandbox.press_view("Ada", "home", "share")
    view = await sandbox.wait_for(lambda: sandbox.modal("Ada"))
    values = {"b": {"name": {"type": "plain_text_input", "value": "zh"}}}
    await sandbox.submit("Ada", view["id"], values)
    assert got == values
    assert sandbox.modal("Ada") is None


async def test_the_assistant_pane(sandbox: Sandbox, app: AsyncApp) -> None:
    assistant = AsyncAssistant()

    @assistant.thread_started
    async def started(say: Any, set_suggested_prompts: Any) -> None:
        await say("How can I help?")
        await set_suggested_prompts(prompts=["How do I feel?"])

    @assistant.user_message
    async def asked(say: Any, set_status: Any, set_title: Any, payload: dict[str, Any]) -> None:
        await set_title(payload["text"])
        await set_status("is thinking…")
        statuses.append(sandbox.status(payload["channel"], payload["thread_ts"]))
        await say("An answer")

    statuses: list[str] = []
    app.assistant(assistant)
    dm = sandbox.dm("Ada")
    thread = await sandbox.open_assistant("Ada")
    pane = sandbox.workspace.panes[(dm, thread)]
    await sandbox.wait_for(lambda: pane.prompts)
    assert pane.prompts == [{"title": "How do I feel?", "message": "How do I feel?"}]
    await sandbox.post("Ada", dm, "A question", thread)
    await sandbox.wait_for(lambda: sandbox.messages(dm, thread)[-1]["text"] == "An answer")
    assert pane.title == "A question"
    assert statuses == ["is thinking…"]
    assert sandbox.status(dm, thread) == ""  # the answer took it away


async def test_the_manifest_that_ships_is_read() -> None:
    sandbox = Sandbox()
    assert sandbox.context.app.knows("/emotion")
    assert not sandbox.context.app.knows("/nonsense")
    assert isinstance(sandbox.context.app, App)
    with pytest.raises(ValueError, match="only listens on 127"):
        Sandbox(host="0.0.0.0")

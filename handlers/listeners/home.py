"""The Home tab: what the bot can do, how it is, one's own settings, and deleting one's data."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.inbox import Job
from bot.inbox.payloads import DeleteData
from bot.storage import UserSettings
from config.strings import Strings, catalogue
from handlers.formatting.sanitize import escape
from handlers.listeners.intake import new_request, take
from handlers.replies.blocks import Block, button, confirmation, context, plain, section
from handlers.replies.chat_reply import ChatReplies
from handlers.transport.context import SlackContext, user_key

log = logging.getLogger(__name__)

LANGUAGE, OPTIONS, DELETE = "set_language", "set_options", "delete_data"
_AUTO = "auto"


def register(app: AsyncApp, slack: SlackContext, chat_replies: ChatReplies) -> None:
    """Listen for the tab being opened and for what is chosen there."""

    async def publish(team: str, user: str, note: str = "") -> None:
        chosen = await slack.services.storage.settings(user_key(team, user))
        strings = await slack.strings(team, user)
        person = await slack.person(user)
        blocks = home_blocks(strings, person.name, chosen, _state(slack, strings, chat_replies.rate), slack)
        if note:
            blocks.insert(1, section(strings(note)))
        await slack.client.views_publish(user_id=user, view={"type": "home", "blocks": blocks})

    async def delete(job: Job[DeleteData]) -> None:
        team, user = job.payload.team, job.payload.user
        await slack.inbox.earlier_done(job)  # what is being answered now would be stored again
        await slack.services.conversations.forget_user(user_key(team, user))
        await publish(team, user, "deleted_data")

    slack.inbox.register("delete_data", delete, quick=True)

    @app.event("app_home_opened")
    async def opened(event: dict[str, Any], body: dict[str, Any]) -> None:
        if event.get("tab") == "home":
            await publish(body["team_id"], event["user"])

    @app.action(LANGUAGE)
    async def language_chosen(ack: AsyncAck, body: dict[str, Any]) -> None:
        value = body["actions"][0]["selected_option"]["value"]
        await _change(slack, body, language=None if value == _AUTO else value)
        await ack()
        await publish(body["team"]["id"], body["user"]["id"])

    @app.action(OPTIONS)
    async def options_chosen(ack: AsyncAck, body: dict[str, Any]) -> None:
        chosen = {option["value"] for option in body["actions"][0]["selected_options"]}
        await _change(slack, body, neutral="neutral" in chosen, follow="follow" in chosen)
        await ack()

    @app.action(DELETE)
    async def delete_pressed(ack: AsyncAck, body: dict[str, Any]) -> None:
        team, user = body["team"]["id"], body["user"]["id"]
        key = f"action:delete:{team}:{user}:{body['actions'][0]['action_ts']}"
        payload = DeleteData(team, user)
        await take(slack, new_request("delete_data", payload, key), payload)
        await ack()


def home_blocks(
    strings: Strings, name: str, chosen: UserSettings, state: str, slack: SlackContext
) -> list[Block]:
    """The tab's content for one person."""
    codes = [_AUTO, *catalogue()]
    names = [strings("language_auto"), *(texts["language_name"] for texts in catalogue().values())]
    languages = [{"text": plain(n), "value": code} for code, n in zip(codes, names, strict=True)]
    follow = slack.services.settings.thread_follow if chosen.follow is None else chosen.follow
    options = [
        {"text": plain(strings("option_neutral")), "value": "neutral"},
        {"text": plain(strings("option_follow")), "value": "follow"},
    ]
    ticked = [o for o, on in zip(options, (chosen.neutral is not False, follow), strict=True) if on]
    boxes: Block = {"type": "checkboxes", "action_id": OPTIONS, "options": options}
    if ticked:
        boxes["initial_options"] = ticked
    current = chosen.language if chosen.language in codes else _AUTO
    select = {
        "type": "static_select",
        "action_id": LANGUAGE,
        "options": languages,
        "initial_option": languages[codes.index(current)],
    }
    confirm = confirmation(strings, strings("confirm_delete"))
    delete = button(strings("delete_data"), DELETE, "delete", style="danger", confirm=confirm)
    return [
        {"type": "header", "text": plain(strings("home_title", user=name)[:150])},
        section(strings("usage")),
        {"type": "divider"},
        section(state),
        {"type": "divider"},
        section(f"*{strings('home_settings')}*"),
        {**section(strings("setting_language")), "accessory": select},
        {**section(strings("setting_options")), "accessory": boxes},
        {"type": "actions", "elements": [delete]},
        context(strings("model_note")),
    ]


def _state(slack: SlackContext, strings: Strings, rate: float) -> str:
    inbox = slack.inbox
    return strings(
        "home_status",
        model=escape(slack.services.engine.name),
        state=strings("state_busy" if inbox.waiting else "state_ready"),
        waiting=inbox.waiting,
        running=inbox.running,
        speed=strings("speed_tokens", rate=f"{rate:.0f}") if rate else strings("speed_unknown"),
    )


async def _change(slack: SlackContext, body: dict[str, Any], **values: Any) -> None:
    user = user_key(body["team"]["id"], body["user"]["id"])
    chosen = await slack.services.storage.settings(user)
    await slack.services.storage.save_settings(user, replace(chosen, **values))

"""The Home tab: what the bot can do, how it is, one's own settings, and deleting one's data."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.inbox import Job
from bot.storage import Request, UserSettings
from handlers.answering import Answering
from handlers.asking import take
from handlers.blocks import Block, button, confirmation, context, plain, section
from handlers.context import Slack, user_key
from handlers.language import Words, catalogue
from handlers.manners import escape

log = logging.getLogger(__name__)

LANGUAGE, OPTIONS, DELETE = "set_language", "set_options", "delete_data"
_AUTO = "auto"


def register(app: AsyncApp, slack: Slack, answering: Answering) -> None:
    """Listen for the tab being opened and for what is chosen there."""

    async def publish(team: str, user: str, note: str = "") -> None:
        chosen = await slack.services.storage.settings(user_key(team, user))
        words = await slack.words(team, user)
        person = await slack.person(user)
        blocks = home_blocks(words, person.name, chosen, _state(slack, words, answering.rate), slack)
        if note:
            blocks.insert(1, section(words(note)))
        await slack.client.views_publish(user_id=user, view={"type": "home", "blocks": blocks})

    async def delete(job: Job) -> None:
        asked = job.request.payload
        await slack.inbox.earlier_done(job)  # what is being answered now would be stored again
        await slack.services.conversations.forget_user(user_key(asked["team"], asked["user"]))
        await publish(asked["team"], asked["user"], "deleted_data")

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
        request = Request(key, key, "delete_data", {"team": team, "user": user}, user_key(team, user))
        await take(slack, request, user, user)
        await ack()


def home_blocks(words: Words, name: str, chosen: UserSettings, state: str, slack: Slack) -> list[Block]:
    """The tab's content for one person."""
    codes = [_AUTO, *catalogue()]
    names = [words("language_auto"), *(strings["language_name"] for strings in catalogue().values())]
    languages = [{"text": plain(n), "value": code} for code, n in zip(codes, names, strict=True)]
    follow = slack.services.settings.thread_follow if chosen.follow is None else chosen.follow
    options = [
        {"text": plain(words("option_neutral")), "value": "neutral"},
        {"text": plain(words("option_follow")), "value": "follow"},
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
    confirm = confirmation(words, words("confirm_delete"))
    delete = button(words("delete_data"), DELETE, "delete", style="danger", confirm=confirm)
    return [
        {"type": "header", "text": plain(words("home_title", user=name)[:150])},
        section(words("usage")),
        {"type": "divider"},
        section(state),
        {"type": "divider"},
        section(f"*{words('home_settings')}*"),
        {**section(words("setting_language")), "accessory": select},
        {**section(words("setting_options")), "accessory": boxes},
        {"type": "actions", "elements": [delete]},
        context(words("model_note")),
    ]


def _state(slack: Slack, words: Words, rate: float) -> str:
    inbox = slack.inbox
    return words(
        "home_status",
        model=escape(slack.services.engine.name),
        state=words("state_busy" if inbox.waiting else "state_ready"),
        waiting=inbox.waiting,
        running=inbox.running,
        speed=words("speed_tokens", rate=f"{rate:.0f}") if rate else words("speed_unknown"),
    )


async def _change(slack: Slack, body: dict[str, Any], **values: Any) -> None:
    user = user_key(body["team"]["id"], body["user"]["id"])
    chosen = await slack.services.storage.settings(user)
    await slack.services.storage.save_settings(user, replace(chosen, **values))

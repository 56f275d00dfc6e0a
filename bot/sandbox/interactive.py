"""Commands, shortcuts, buttons and views as the app receives them, and what its answers to them do."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from bot.sandbox import limits, messages
from bot.sandbox.context import Context
from bot.sandbox.errors import SlackError
from bot.sandbox.links import Link
from bot.sandbox.workspace import APP_ID, TEAM_DOMAIN, TEAM_ID, Channel, Json, User


def response_url(context: Context, link: Link) -> str:
    """The address at which the app may answer what `link` stands for."""
    return f"{context.base_url}/response/{context.links.add(link)}"


def command_payload(context: Context, user: User, channel: Channel, command: str, text: str) -> Json:
    """What a slash command sends."""
    now = context.workspace.clock()
    return {
        "token": "sandbox-verification-token",
        "team_id": TEAM_ID,
        "team_domain": TEAM_DOMAIN,
        "channel_id": channel.id,
        "channel_name": channel.name,
        "user_id": user.id,
        "user_name": user.name,
        "command": command,
        "text": text,
        "api_app_id": APP_ID,
        "is_enterprise_install": "false",
        "response_url": response_url(context, Link(user.id, channel.id, now)),
        "trigger_id": context.links.trigger(user.id, now),
    }


def shortcut_payload(context: Context, user: User, channel: Channel, message: Json, callback: str) -> Json:
    """What a message shortcut sends."""
    now = context.workspace.clock()
    thread = message.get("thread_ts", "")
    return {
        "type": "message_action",
        "token": "sandbox-verification-token",
        "action_ts": context.workspace.new_ts(),
        "team": {"id": TEAM_ID, "domain": TEAM_DOMAIN},
        "user": {"id": user.id, "username": user.name, "team_id": TEAM_ID, "name": user.name},
        "channel": {"id": channel.id, "name": channel.name},
        "is_enterprise_install": False,
        "enterprise": None,
        "api_app_id": APP_ID,
        "callback_id": callback,
        "trigger_id": context.links.trigger(user.id, now),
        "response_url": response_url(context, Link(user.id, channel.id, now, thread_ts=thread)),
        "message_ts": message["ts"],
        "message": copy.deepcopy(message),
    }


def message_actions_payload(
    context: Context, user: User, channel: Channel, message: Json, action: Json
) -> Json:
    """What pressing something on a message sends."""
    now = context.workspace.clock()
    ephemeral = bool(message.get("is_ephemeral"))
    thread = message.get("thread_ts", "")
    container: Json = {
        "type": "message",
        "message_ts": message["ts"],
        "channel_id": channel.id,
        "is_ephemeral": ephemeral,
    }
    if thread:
        container["thread_ts"] = thread
    payload = _actions_payload(context, user, action, container)
    payload["channel"] = {"id": channel.id, "name": channel.name}
    payload["response_url"] = response_url(
        context, Link(user.id, channel.id, now, message["ts"], ephemeral, thread)
    )
    if not ephemeral:
        payload["message"] = copy.deepcopy(message)
    return payload


def view_actions_payload(context: Context, user: User, view: Json, action: Json) -> Json:
    """What pressing something on the Home tab or in a modal sends."""
    payload = _actions_payload(context, user, action, {"type": "view", "view_id": view["id"]})
    payload["view"] = copy.deepcopy(view)
    return payload


def submission_payload(context: Context, user: User, view: Json, kind: str) -> Json:
    """view_submission, or view_closed."""
    return {
        "type": kind,
        "team": {"id": TEAM_ID, "domain": TEAM_DOMAIN},
        "user": {"id": user.id, "username": user.name, "name": user.name, "team_id": TEAM_ID},
        "api_app_id": APP_ID,
        "token": "sandbox-verification-token",
        "trigger_id": context.links.trigger(user.id, context.workspace.clock()),
        "view": copy.deepcopy(view),
        "response_urls": [],
        "is_enterprise_install": False,
        "enterprise": None,
    }


def _actions_payload(context: Context, user: User, action: Json, container: Json) -> Json:
    return {
        "type": "block_actions",
        "user": {"id": user.id, "username": user.name, "name": user.name, "team_id": TEAM_ID},
        "api_app_id": APP_ID,
        "token": "sandbox-verification-token",
        "container": container,
        "trigger_id": context.links.trigger(user.id, context.workspace.clock()),
        "team": {"id": TEAM_ID, "domain": TEAM_DOMAIN},
        "enterprise": None,
        "is_enterprise_install": False,
        "state": {"values": {}},
        "actions": [action],
    }


def find_action(blocks: list[Json], action_id: str, value: Any, ts: str) -> Json:
    """The action that pressing `action_id` sends; `value` picks an option or one side of feedback buttons.

    Raises SlackError action_not_found.
    """
    for block in blocks:
        elements = [*block.get("elements", []), block.get("accessory"), block.get("element")]
        for element in elements:
            if isinstance(element, dict) and element.get("action_id") == action_id:
                return _action_of(element, block.get("block_id", ""), value, ts)
    raise SlackError("action_not_found")


def _action_of(element: Json, block_id: str, value: Any, ts: str) -> Json:
    kind = element["type"]
    action: Json = {
        "type": kind,
        "action_id": element["action_id"],
        "block_id": block_id,
        "action_ts": ts,
    }
    if kind in ("button", "icon_button"):
        action |= {k: element[k] for k in ("text", "value", "style", "url") if k in element}
    elif kind == "feedback_buttons":
        sides = [element["positive_button"], element["negative_button"]]
        action |= next((s for s in sides if s["value"] == value), sides[0])
    elif "options" in element:
        chosen = value if isinstance(value, list) else [value]
        options = [o for o in element["options"] if o["value"] in chosen]
        if kind in ("checkboxes", "multi_static_select"):
            action["selected_options"] = options
        else:
            action["selected_option"] = options[0] if options else element["options"][0]
    else:
        action["value"] = value
    return action


def answer_link(context: Context, name: str, body: Json) -> None:
    """One POST to a response_url. Raises SlackError: expired_url, used_url, no_text, invalid_blocks…"""
    respond(context, context.links.use(name, context.workspace.clock()), body)


def respond(context: Context, link: Link, body: Json) -> None:
    """Do what an answer at `link` (or an acknowledgement with a payload) asks for."""
    workspace = context.workspace
    channel = workspace.channel(link.channel)
    if body.get("delete_original"):
        _delete_original(context, link, channel)
        return
    text = str(body.get("text") or "")[: limits.POST_TEXT]
    blocks = limits.check_blocks(body["blocks"]) if body.get("blocks") else None
    if not text and not blocks and not body.get("attachments"):
        raise SlackError("no_text")
    fields: Json = {"blocks": number_blocks(workspace.new_id, blocks), "attachments": body.get("attachments")}
    if body.get("metadata"):
        fields["metadata"] = limits.check_metadata(body["metadata"])
    if body.get("replace_original") and link.message_ts:
        _replace_original(context, link, channel, text, fields)
        return
    message = messages.bot_message(context, text, **fields)
    thread = str(body.get("thread_ts") or "")
    if body.get("response_type") == "in_channel":
        messages.post(context, channel, message, thread or None)
        return
    if thread or link.thread_ts:
        message["thread_ts"] = thread or link.thread_ts
    messages.post_ephemeral(context, channel, link.user, message)


def number_blocks(new_id: Callable[[str], str], blocks: list[Json] | None) -> list[Json] | None:
    """The blocks with a block_id and action_ids everywhere, as Slack fills them in."""
    if not blocks:
        return blocks
    filled = copy.deepcopy(blocks)
    for block in filled:
        block.setdefault("block_id", new_id("")[:5])
        for element in [*block.get("elements", []), block.get("accessory"), block.get("element")]:
            if isinstance(element, dict) and element.get("type") in limits.INTERACTIVE:
                element.setdefault("action_id", new_id("")[:5])
    return filled


def _delete_original(context: Context, link: Link, channel: Channel) -> None:
    if link.ephemeral:
        kept = [e for e in context.workspace.ephemerals if e.message["ts"] != link.message_ts]
        context.workspace.ephemerals[:] = kept
        context.workspace.changed("removed", channel.id, {"ts": link.message_ts}, link.user)
    elif link.message_ts:
        messages.remove(context, channel, link.message_ts)


def _replace_original(context: Context, link: Link, channel: Channel, text: str, fields: Json) -> None:
    if not link.ephemeral:
        messages.change(context, channel, link.message_ts, text=text, **fields)
        return
    for ephemeral in context.workspace.ephemerals:
        if ephemeral.message["ts"] == link.message_ts:
            ephemeral.message["text"] = text
            for key, value in fields.items():
                ephemeral.message.pop(key, None)
                if value:
                    ephemeral.message[key] = value
            context.workspace.changed("message", channel.id, ephemeral.message, link.user)

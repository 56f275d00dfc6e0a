"""The Home tab and modals: views.publish, views.open, views.update."""

from __future__ import annotations

import hashlib
import json

from bot.sandbox import limits
from bot.sandbox.arguments import Arguments
from bot.sandbox.context import Context
from bot.sandbox.errors import SlackError
from bot.sandbox.interactive import number_blocks
from bot.sandbox.methods.registry import method
from bot.sandbox.workspace import APP_ID, BOT_ID, TEAM_ID, Json


@method("views.publish", (), "user_id view", "hash")
def publish(context: Context, arguments: Arguments) -> Json:
    """Show `view` on one person's Home tab."""
    if not context.app.home_tab:
        raise SlackError("not_enabled")
    user = context.workspace.user(arguments.text("user_id"))
    view = limits.check_view(arguments.json("view"), ("home",))
    before = context.workspace.homes.get(user.id)
    _check_hash(arguments, before)
    made = _made(context, view, before["id"] if before else context.workspace.new_id("V"))
    context.workspace.homes[user.id] = made
    context.workspace.changed("home", "", made, user.id)
    return {"view": made}


@method("views.open", (), "view", "trigger_id interactivity_pointer")
def open_view(context: Context, arguments: Arguments) -> Json:
    """Show a modal to the person who did what `trigger_id` stands for, within three seconds."""
    view = limits.check_view(arguments.json("view"), ("modal",))
    user = context.links.exchange(arguments.text("trigger_id"), context.workspace.clock())
    made = _made(context, view, context.workspace.new_id("V"))
    context.workspace.modals[made["id"]] = (user, made)
    context.workspace.changed("modal", "", made, user)
    return {"view": made}


@method("views.update", (), "view", "external_id view_id hash")
def update(context: Context, arguments: Arguments) -> Json:
    """Change a modal or a Home tab that is shown."""
    view = limits.check_view(arguments.json("view"), ("home", "modal"))
    name, other = arguments.text("view_id"), arguments.text("external_id")
    shown = [(u, v, False) for u, v in context.workspace.modals.values()]
    shown += [(u, v, True) for u, v in context.workspace.homes.items()]
    for user, before, home in shown:
        if before["id"] == name or (other and before.get("external_id") == other):
            _check_hash(arguments, before)
            made = _made(context, view, before["id"])
            if home:
                context.workspace.homes[user] = made
            else:
                context.workspace.modals[made["id"]] = (user, made)
            context.workspace.changed("home" if home else "modal", "", made, user)
            return {"view": made}
    raise SlackError("not_found")


def _check_hash(arguments: Arguments, before: Json | None) -> None:
    if "hash" in arguments and before is not None and arguments.text("hash") != before["hash"]:
        raise SlackError("hash_conflict")


def _made(context: Context, view: Json, name: str) -> Json:
    digest = hashlib.sha256(json.dumps(view, sort_keys=True).encode()).hexdigest()[:8]
    return {
        "private_metadata": "",
        "callback_id": "",
        "external_id": "",
        **view,
        "id": name,
        "team_id": TEAM_ID,
        "app_id": APP_ID,
        "bot_id": BOT_ID,
        "app_installed_team_id": TEAM_ID,
        "root_view_id": name,
        "previous_view_id": None,
        "state": {"values": {}},
        "hash": f"{int(context.workspace.clock())}.{digest}",
        "blocks": number_blocks(context.workspace.new_id, view["blocks"]) or [],
    }

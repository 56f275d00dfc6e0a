"""People, and where the bot is with them: users.info, users.list, users.conversations."""

from __future__ import annotations

from bot.sandbox.arguments import Arguments
from bot.sandbox.context import Context
from bot.sandbox.errors import SlackError
from bot.sandbox.methods.conversations import KINDS, READ, channel_object
from bot.sandbox.methods.pagination import page
from bot.sandbox.methods.registry import method, require_scope
from bot.sandbox.workspace import BOT_USER_ID, TEAM_ID, Json, User


def user_object(user: User, locale: bool) -> Json:
    """A user object; the locale only where it was asked for, as at Slack."""
    found: Json = {
        "id": user.id,
        "team_id": user.team,
        "name": user.name,
        "deleted": False,
        "real_name": user.real_name,
        "tz": user.tz,
        "profile": {
            "real_name": user.real_name,
            "display_name": user.real_name,
            "real_name_normalized": user.real_name,
            "display_name_normalized": user.real_name,
            "team": user.team,
        },
        "is_admin": False,
        "is_owner": False,
        "is_restricted": user.is_guest,
        "is_ultra_restricted": False,
        "is_stranger": user.team != TEAM_ID,
        "is_bot": user.is_bot,
        "is_app_user": False,
        "updated": 1,
    }
    if locale:
        found["locale"] = user.locale
    return found


@method("users.info", ("users:read",), "user", "include_locale")
def users_info(context: Context, arguments: Arguments) -> Json:
    """One person."""
    found = context.workspace.users.get(arguments.text("user"))
    if found is None:
        raise SlackError("user_not_found")
    return {"user": user_object(found, arguments.flag("include_locale"))}


@method("users.list", ("users:read",), optional="cursor include_locale limit team_id")
def users_list(context: Context, arguments: Arguments) -> Json:
    """Everybody."""
    locale = arguments.flag("include_locale")
    everybody = [user_object(user, locale) for user in context.workspace.users.values()]
    members, after = page(everybody, arguments, 100, 1000)
    return {"members": members, "cache_ts": int(context.workspace.clock()), **after}


@method(
    "users.conversations",
    tuple(READ.values()),
    optional="cursor exclude_archived limit team_id types user",
)
def users_conversations(context: Context, arguments: Arguments) -> Json:
    """The conversations that the app's bot is in."""
    wanted = [kind.strip() for kind in arguments.text("types", "public_channel").split(",")]
    if not set(wanted) <= set(KINDS):
        raise SlackError("invalid_types")
    for kind in wanted:
        require_scope(context, READ[kind])
    found = [
        channel_object(channel)
        for channel in context.workspace.channels.values()
        if channel.kind in {KINDS[kind] for kind in wanted}
        and (channel.is_im or BOT_USER_ID in channel.members)
        and not (channel.archived and arguments.flag("exclude_archived"))
    ]
    part, after = page(found, arguments, 100, 999)
    return {"channels": part, **after}

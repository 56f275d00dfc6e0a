"""The app itself: auth.test, apps.connections.open, bots.info, team.info."""

from __future__ import annotations

from bot.sandbox import messages
from bot.sandbox.arguments import Arguments
from bot.sandbox.context import Context
from bot.sandbox.errors import SlackError
from bot.sandbox.methods.registry import method
from bot.sandbox.workspace import APP_ID, BOT_ID, BOT_USER_ID, TEAM_DOMAIN, TEAM_ID, Json


@method("auth.test")
def auth_test(context: Context, arguments: Arguments) -> Json:
    """Whose token this is."""
    return {
        "url": f"{context.base_url}/",
        "team": "Sandbox",
        "user": context.workspace.users[BOT_USER_ID].name,
        "team_id": TEAM_ID,
        "user_id": BOT_USER_ID,
        "bot_id": BOT_ID,
        "is_enterprise_install": False,
    }


@method("apps.connections.open", token="app")  # noqa: S106  a kind of token, not one
def connections_open(context: Context, arguments: Arguments) -> Json:
    """A WebSocket address that works once."""
    address = context.base_url.replace("http://", "ws://", 1)
    return {"url": f"{address}/link/?ticket={context.sockets.ticket()}&app_id={APP_ID}"}


@method("bots.info", ("users:read",), optional="bot team_id")
def bots_info(context: Context, arguments: Arguments) -> Json:
    """The app's bot."""
    if arguments.text("bot", BOT_ID) != BOT_ID:
        raise SlackError("bot_not_found")
    return {"bot": {**messages.bot_profile(context), "user_id": BOT_USER_ID}}


@method("team.info", ("team:read",), optional="team domain include_slackbot_availability")
def team_info(context: Context, arguments: Arguments) -> Json:
    """The workspace."""
    return {"team": {"id": TEAM_ID, "name": "Sandbox", "domain": TEAM_DOMAIN, "email_domain": ""}}

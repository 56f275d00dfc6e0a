"""The Slack side of the bot: listeners, replies, transport, formatting; no model code and no SQL."""

from handlers.app import BotApp, build_app

__all__ = ["BotApp", "build_app"]

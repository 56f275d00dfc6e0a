"""`run`: Slack (or the sandbox), the page and the API. Nothing else knows Slack, the web and the engine."""

from __future__ import annotations

import argparse
import asyncio

from bot.app.metrics import watch_queue, watch_reconnects
from bot.app.run import Connection
from bot.app.run import run as run_bot
from bot.app.services import Services
from config.settings import Settings
from handlers.app import build_app
from handlers.transport.watchdog import SlackConnection


def run(_: argparse.Namespace, settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    asyncio.run(run_bot(settings, connect))


def connect(services: Services) -> Connection:
    """The connection to Slack over `services`, not yet open."""
    app = build_app(services)
    watch_queue("slack", lambda: app.slack.inbox.waiting)
    connection = SlackConnection(app, app.slack, app.backfill, services.settings.slack_app_token)
    watch_reconnects(lambda: connection.reconnects)
    return connection

"""The Bolt app with every surface registered."""

from __future__ import annotations

import logging

from slack_bolt.async_app import AsyncApp

from bot.inbox import Inbox
from bot.services import Services
from handlers import (
    actions,
    apologies,
    assistant,
    catching_up,
    commands,
    home,
    mentions,
    permissions,
    shortcuts,
    threads,
)
from handlers.answering import Answering
from handlers.calling import LimitedWebClient
from handlers.catching_up import CatchingUp
from handlers.context import Slack


class BotApp(AsyncApp):
    """An AsyncApp that carries what its handlers share."""

    slack: Slack
    catching_up: CatchingUp


def build_app(services: Services) -> BotApp:
    """The app over `services`, with the settings' token and Web API address; nothing is connected yet."""
    settings = services.settings
    client = LimitedWebClient(settings.slack_bot_token, settings.slack_api_url)
    app = BotApp(
        client=client,
        logger=logging.getLogger("slack_bolt"),
        # A request is stored first and acknowledged then; answers are written by the inbox.
        process_before_response=True,
    )
    app.slack = Slack(services, client, Inbox(services.storage, settings.max_queue))
    answering = Answering(app.slack)
    answering.register()
    app.catching_up = catching_up.register(app, app.slack)
    permissions.register(app, app.slack)  # ahead of everything that answers
    threads.note_changes(app, app.slack)  # ahead of the assistant, which takes no edits
    assistant.register(app, app.slack)
    for surface in (mentions, threads, commands, shortcuts, actions):
        surface.register(app, app.slack)
    home.register(app, app.slack, answering)
    apologies.register(app, app.slack, answering)
    return app

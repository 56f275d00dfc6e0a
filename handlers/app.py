"""The Bolt app with every surface registered."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial

from slack_bolt.async_app import AsyncApp, AsyncBoltContext

from bot.app.services import Services
from bot.inbox import Inbox
from handlers.listeners import (
    actions,
    assistant,
    commands,
    failures,
    home,
    mentions,
    messages,
    permissions,
    shortcuts,
)
from handlers.listeners.intake import take_message
from handlers.replies.chat_reply import ChatReplies
from handlers.transport import backfill
from handlers.transport.backfill import Backfill
from handlers.transport.context import SlackContext
from handlers.transport.web_client import RateLimitedWebClient


class BotApp(AsyncApp):
    """An AsyncApp that carries what its listeners share."""

    slack: SlackContext
    backfill: Backfill


def build_app(services: Services) -> BotApp:
    """The app over `services`, with the settings' token and Web API address; nothing is connected yet."""
    settings = services.settings
    client = RateLimitedWebClient(settings.slack_bot_token, settings.slack_api_url)

    async def take_proxy(context: AsyncBoltContext, next_: Callable[[], Awaitable[None]]) -> None:
        # Bolt makes a client for each request, which takes the environment's proxy where this one has none.
        assert context.client is not None
        context.client.proxy = client.proxy
        await next_()

    app = BotApp(
        name="app.py",  # of its loggers; to find it Bolt would look through the source of every module
        client=client,
        before_authorize=take_proxy,
        logger=logging.getLogger("slack_bolt"),
        # A request is stored before it is acknowledged; the inbox answers it afterwards.
        process_before_response=True,
    )
    app.slack = SlackContext(services, client, Inbox(services.storage, settings.max_queue))
    chat_replies = ChatReplies(app.slack)
    chat_replies.register()
    may = permissions.Permissions(app.slack).may
    app.backfill = Backfill(app.slack, partial(take_message, app.slack), may)
    backfill.register(app, app.backfill)
    permissions.register(app, app.slack)  # ahead of everything that answers
    messages.register_changes(app, app.slack)  # ahead of the assistant, which takes no edits
    assistant.register(app, app.slack)
    for surface in (mentions, messages, commands, shortcuts, actions):
        surface.register(app, app.slack)
    home.register(app, app.slack, chat_replies)
    failures.register(app, app.slack, chat_replies)
    return app

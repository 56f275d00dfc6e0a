"""The web application: routes, and what every request passes through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from bot.web import chat_completions, guard, health, infer, lines, page
from bot.web.context import CONTEXT, Context, Opening
from bot.web.errors import answer_errors
from bot.web.json_body import MAX_BODY
from bot.web.protocol import JsonErrorRunner
from config.settings import Settings, check_exposure
from config.strings import STRINGS_DIRECTORY

FINISH_SECONDS = 8.0  # that an answer may go on for when the bot stops


def build_web(
    opening: Opening, ready: Callable[[], dict[str, bool]], *, strings: Path = STRINGS_DIRECTORY
) -> web.Application:
    """The page and API of a bot; the API answers 503 until its services are set.

    ready: which parts are ready, by name, for /readyz. strings: the directory of the page's strings.
    Raises SettingsError where HOST lets other machines in without a token.
    """
    settings = opening.settings
    check_exposure(settings)
    app = web.Application(
        client_max_size=MAX_BODY,
        middlewares=[
            guard.log_request,
            answer_errors,
            guard.check_origin(settings),
            guard.limit_rate(settings),
            guard.check_token(settings),
            guard.limit_concurrency(settings),
        ],
    )
    app[CONTEXT] = Context(opening, ready, strings)
    app.on_shutdown.append(_tell_waiting)
    app.on_response_prepare.append(guard.add_headers)
    app.router.add_get("/healthz", health.healthz)
    app.router.add_get("/readyz", health.readyz)
    app.router.add_get("/metrics", health.show_metrics)
    app.router.add_post("/api/infer", infer.infer)
    app.router.add_post("/api/lines", lines.lines)
    app.router.add_post("/v1/chat/completions", chat_completions.complete)
    app.router.add_get("/v1/models", chat_completions.models)
    app.router.add_get("/v1/models/{name:.+}", chat_completions.model)
    page.add_routes(app)
    return app


async def _tell_waiting(app: web.Application) -> None:
    """Give answers a while to finish; whoever still waits then is told that the bot stops."""
    asyncio.get_running_loop().call_later(FINISH_SECONDS, app[CONTEXT].stopping.set)


async def serve(app: web.Application, settings: Settings) -> tuple[web.AppRunner, int]:
    """Listen on HOST and PORT; what stops it (`cleanup`) and the port. Raises OSError when it is taken.

    A request whose client goes away is cancelled, which frees the engine.
    """
    runner = JsonErrorRunner(
        app, access_log=None, handler_cancellation=True, shutdown_timeout=FINISH_SECONDS + 2.0
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
    except OSError:
        await runner.cleanup()
        raise
    return runner, int(runner.addresses[0][1])

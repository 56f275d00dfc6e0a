"""`run`: the web first, then the model, the database and Slack or the sandbox; all closed at the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web
from filelock import BaseFileLock

from bot.app import metrics, supervision
from bot.app.measured_engine import MeasuredEngine
from bot.app.ports import free_port
from bot.app.services import Services
from bot.conversation import Conversations
from bot.emotion import EmotionClassifier
from bot.engine import Engine
from bot.engine.factory import open_engine
from bot.models import find_checked_model
from bot.roles import load_roles
from bot.sandbox import Sandbox
from bot.storage import Storage, StorageError, own
from bot.web.app import build_web, serve
from bot.web.context import Opening
from config.settings import Settings, SettingsError

log = logging.getLogger(__name__)

CHECK_SECONDS, RECHECK_SECONDS = 30.0, 5.0  # between two looks at the database, while it works and not
EXPIRE_SECONDS = 6 * 3600.0
SLACK_PATIENCE = 20.0  # seconds; after that the bot counts as started and goes on trying


class Connection(Protocol):
    """What connects the bot to a Slack workspace."""

    @property
    def connected(self) -> bool:
        """Whether what happens in Slack is received."""
        ...

    async def start(self) -> None:
        """Connect, however long Slack is away. Raises an error with the mend where Slack refuses the bot."""
        ...

    async def stop(self) -> None:
        """Finish what is running and disconnect."""
        ...


Connect = Callable[[Services], Connection]


@dataclass
class Bot:
    """One bot, as far as it is open."""

    opening: Opening
    port: int = 0
    storage_works: bool = False
    runner: web.AppRunner | None = None
    sandbox: Sandbox | None = None
    owned: BaseFileLock | None = None  # the SQLite file
    storage: Storage | None = None
    engine: Engine | None = None
    connection: Connection | None = None
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)

    def is_ready(self, part: str) -> bool:
        """Whether one part is ready."""
        return self.ready()[part]

    def ready(self) -> dict[str, bool]:
        """Which parts are ready."""
        return {
            "model": self.opening.services is not None,
            "storage": self.storage_works and self.storage is not None and not self.storage.problem,
            "slack": self.connection is not None and self.connection.connected,
        }


async def run(settings: Settings, connect: Connect) -> None:
    """Run until SIGTERM or SIGINT, then end the process. Raises what keeps the bot from starting."""
    stop = asyncio.Event()
    supervision.on_stop(stop.set)
    bot = Bot(Opening(settings))
    try:
        if await supervision.unless(stop, _start(bot, connect)):
            await stop.wait()
    finally:
        await _close(bot)
    supervision.leave(0)


async def _start(bot: Bot, connect: Connect) -> None:
    settings, roles = bot.opening.settings, load_roles()
    bot.opening.roles = roles
    bot.owned = own(settings.database_url)
    app = build_web(bot.opening, bot.ready)
    try:
        bot.runner, bot.port = await serve(app, settings)
    except OSError as problem:
        free = free_port(settings.host, settings.port)
        raise SettingsError(
            f"cannot listen on {settings.host} port {settings.port}: {problem.strerror}; "
            + (f"stop what uses it, or choose another with --port {free}" if free else "see HOST and PORT")
        ) from None
    loading = asyncio.get_running_loop().run_in_executor(None, _open_engine, settings)
    bot.storage = await Storage.open(settings.database_url)
    bot.storage_works = True
    if not settings.slack_configured:
        bot.sandbox = await _start_sandbox(bot.port if settings.port else 0)
        settings = replace(
            settings,
            slack_api_url=bot.sandbox.api_url,
            slack_bot_token=bot.sandbox.bot_token,
            slack_app_token=bot.sandbox.app_token,
        )
    engine, directory = await loading
    bot.engine = MeasuredEngine(engine)
    services = Services(
        settings=settings,
        roles=roles,
        engine=bot.engine,
        classifier=EmotionClassifier(bot.engine, roles, directory),
        conversations=Conversations(bot.engine, roles, bot.storage, settings),
        storage=bot.storage,
    )
    bot.opening.services = services
    for part in bot.ready():
        metrics.watch_ready(part, partial(bot.is_ready, part))
    bot.connection = connect(services)
    connecting = asyncio.ensure_future(bot.connection.start())
    bot.tasks += [
        connecting,
        *(asyncio.ensure_future(work) for work in (_check(bot), _expire(bot), supervision.keep_watchdog())),
    ]
    done, _ = await asyncio.wait((connecting,), timeout=SLACK_PATIENCE)
    if done:
        connecting.result()
    else:
        log.warning("Slack cannot be reached yet; the page and API work, and Slack is tried again")
        connecting.add_done_callback(_log_refusal)
    supervision.notify("READY=1")
    print(_ready_line(bot), flush=True)


def _open_engine(settings: Settings) -> tuple[Engine, Path | None]:
    """The engine, and its model directory (None for LLM_URL). Blocking."""
    directory = find_checked_model(settings)
    return open_engine(settings, directory), directory


def _log_refusal(connecting: asyncio.Task[None]) -> None:
    """The bot has started already: what Slack refuses now is logged, and /readyz shows it too."""
    if not connecting.cancelled() and (problem := connecting.exception()):
        log.error("%s", problem)


async def _start_sandbox(port: int) -> Sandbox:
    """The sandbox on the port after the page's, where that is free: its address then stays the same."""
    for wanted in (port + 1 if 0 < port < 65535 else 0, 0):
        sandbox = Sandbox(port=wanted)
        with contextlib.suppress(OSError):
            await sandbox.start()
            return sandbox
        await sandbox.stop()
    raise SettingsError("the sandbox found no free port on 127.0.0.1")


async def _check(bot: Bot) -> None:
    """Note from time to time whether the database takes writes."""
    assert bot.storage is not None
    while True:
        await asyncio.sleep(CHECK_SECONDS if bot.storage_works else RECHECK_SECONDS)
        try:
            await bot.storage.check()
        except StorageError as problem:
            if bot.storage_works:
                log.error("%s", problem)
            bot.storage_works = False
        else:
            bot.storage_works = True


async def _expire(bot: Bot) -> None:
    """Delete what is older than RETENTION_DAYS."""
    assert bot.storage is not None
    while True:
        try:
            if gone := await bot.storage.expire(bot.opening.settings.retention_days):
                log.info("%d turns were older than RETENTION_DAYS and are deleted", gone)
        except Exception:  # the next round tries again
            log.exception("old turns could not be deleted")
        await asyncio.sleep(EXPIRE_SECONDS)


async def _close(bot: Bot) -> None:
    """No new work, what is running finished or stored; the parts in the order they need each other."""
    for task in bot.tasks:
        task.cancel()
    await asyncio.gather(*bot.tasks, return_exceptions=True)
    talking = [bot.connection.stop()] if bot.connection else []
    listening = [bot.runner.cleanup()] if bot.runner else []
    rest = [
        *([bot.sandbox.stop()] if bot.sandbox else []),
        *([bot.engine.close()] if bot.engine else []),
        *([bot.storage.close()] if bot.storage else []),
    ]
    for problem in [*await asyncio.gather(*talking, *listening, return_exceptions=True)]:
        if isinstance(problem, Exception):
            log.error("while stopping", exc_info=problem)
    for closing in rest:
        try:
            await closing
        except Exception:  # the others must be closed all the same
            log.exception("while stopping")
    if bot.owned is not None:
        bot.owned.release()


def _ready_line(bot: Bot) -> str:
    settings = bot.opening.settings
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104  # compared, not bound
    shown = f"[{host}]" if ":" in host else host
    slack = f"Slack sandbox {bot.sandbox.page_url}" if bot.sandbox else "Slack connected"
    if not bot.ready()["slack"]:
        slack = "Slack not connected yet"
    assert bot.engine is not None
    return (
        f"ready in {supervision.age():.1f} s: page and API http://{shown}:{bot.port}/ | {slack} | "
        f"model {bot.engine.name}"
    )

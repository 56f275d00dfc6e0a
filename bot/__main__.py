"""The command line. Nothing else knows Slack, the web and the engine at once."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bot import logs
from bot.options import FAILED, OVERRIDES, USAGE, parse
from config.settings import Settings, load

if TYPE_CHECKING:
    from bot.engine import Engine

OURS = ("bot", "config", "handlers")
# What a command needs is imported by the command: torch alone takes longer than most of them run.


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. What people can mend is told in one line, without a stack trace."""
    options = parse(arguments)
    try:
        settings = load(**{name: getattr(options, name, None) for name in OVERRIDES})
        logs.set_up(settings.log_level if options.command == "run" else "ERROR", hidden=settings.secrets)
        return COMMANDS[options.command](options, settings) or 0
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stderr.close()
        return FAILED
    except ModuleNotFoundError as problem:
        if str(problem.name).partition(".")[0] in OURS:
            raise
        return _say(f"{problem.name} is not installed: run `make setup`", FAILED)
    except Exception as problem:
        # The project's own exceptions are sentences for people.
        if type(problem).__module__.partition(".")[0] not in OURS:
            raise
        return _say(str(problem), USAGE if isinstance(problem, ValueError) else FAILED)


def _say(problem: str, code: int) -> int:
    print(f"bot: {problem}", file=sys.stderr)
    return code


def _run(_: argparse.Namespace, settings: Settings) -> None:
    from bot.metrics import watch_queue, watch_reconnects
    from bot.running import Connection, run
    from bot.services import Services
    from handlers import build_app
    from handlers.connection import SlackConnection

    def connect(services: Services) -> Connection:
        app = build_app(services)
        watch_queue("slack", lambda: app.slack.inbox.waiting)
        connection = SlackConnection(app, services.settings)
        watch_reconnects(lambda: connection.reconnects)
        return connection

    asyncio.run(run(settings, connect))


def _emotion(options: argparse.Namespace, settings: Settings) -> None:
    from bot import terminal
    from bot.emotion import Emotions
    from bot.roles import load_roles

    terminal.check_options(options)
    roles = load_roles()
    terminal.role_named(roles, options.role, classifies=True)

    async def work() -> None:
        async with _engine(settings) as (engine, directory):
            await terminal.emotion(Emotions(engine, roles, directory), options)

    asyncio.run(work())


def _chat(options: argparse.Namespace, settings: Settings) -> None:
    from bot import terminal
    from bot.conversation import Conversations
    from bot.roles import load_roles
    from bot.storage import Storage

    roles = load_roles()
    terminal.role_named(roles, options.role, classifies=False)

    async def work() -> None:
        async with _engine(settings) as (engine, _):
            storage = await Storage.open(settings.database_url)
            try:
                await terminal.converse(
                    Conversations(engine, roles, storage, settings), options.text, role=options.role
                )
            finally:
                await storage.close()

    asyncio.run(work())


@asynccontextmanager
async def _engine(settings: Settings) -> AsyncIterator[tuple[Engine, Path | None]]:
    from bot.loading import load_engine

    engine, directory = load_engine(settings)
    try:
        yield engine, directory
    finally:
        await engine.close()


def _fetch(options: argparse.Namespace, settings: Settings) -> None:
    from bot.models.fetching import fetch

    if options.name is None and (settings.model_dir or settings.llm_url):
        print("nothing to fetch: MODEL_DIR or LLM_URL is set; `fetch NAME` fetches all the same")
        return
    directory = fetch(options.name, settings.hf_endpoint or None)
    if not any(directory.glob("prepared-*.safetensors")):
        _prepare_weights(directory, settings)


def _calibrate(options: argparse.Namespace, settings: Settings) -> None:
    from bot.calibrating import CalibrationFileError, calibrate, read_rows
    from bot.emotion import Emotions
    from bot.roles import load_roles

    roles = load_roles()
    read_rows(options.file, roles["emotion"])  # what is wrong with the file is said before a model is loaded

    async def work() -> None:
        async with _engine(settings) as (engine, directory):
            if directory is None:
                raise CalibrationFileError("a calibration is stored with a local model: unset LLM_URL")
            emotions = Emotions(engine, roles, directory)
            await calibrate(emotions, roles["emotion"], options.file, directory, force=options.force)

    asyncio.run(work())


def _manifest(options: argparse.Namespace, _: Settings) -> None:
    from handlers.manifest import create_app_url, manifest_json

    print(create_app_url() if options.url else manifest_json())


def _doctor(options: argparse.Namespace, settings: Settings) -> int:
    from bot.doctor import report

    return 0 if asyncio.run(report(settings, as_json=options.json)) else FAILED


def _prepare(options: argparse.Namespace, settings: Settings) -> None:
    from bot.models import check_model, find_model

    directory = options.directory or find_model(settings)
    check_model(directory)
    _prepare_weights(directory, settings)


def _prepare_weights(directory: Path, settings: Settings) -> None:
    from tqdm import tqdm

    from bot.engine.prepare import prepare

    with tqdm(desc="preparing", unit=" parts", disable=not sys.stderr.isatty()) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        file = prepare(directory, settings.precision, show)
    print(f"{file}: {file.stat().st_size / 1e6:,.0f} MB")


def _bench(options: argparse.Namespace, settings: Settings) -> None:
    from bot.bench import bench
    from bot.models import check_model, find_model
    from bot.roles import load_roles

    directory = find_model(settings)
    check_model(directory)
    bench(settings, directory, load_roles()["emotion"], as_json=options.json)


def _feedback(options: argparse.Namespace, settings: Settings) -> None:
    from bot.terminal import print_feedback

    asyncio.run(print_feedback(settings, as_json=options.json))


def _backup(options: argparse.Namespace, settings: Settings) -> None:
    from bot.backup import back_up

    size = back_up(settings.database_url, options.file)
    print(f"{options.file}: {size:,} bytes; set DATABASE_URL=sqlite+aiosqlite:///FILE to use it")


COMMANDS: dict[str, Callable[[argparse.Namespace, Settings], int | None]] = {
    "run": _run,
    "emotion": _emotion,
    "chat": _chat,
    "fetch": _fetch,
    "prepare": _prepare,
    "backup": _backup,
    "calibrate": _calibrate,
    "manifest": _manifest,
    "doctor": _doctor,
    "bench": _bench,
    "feedback": _feedback,
}

if __name__ == "__main__":
    sys.exit(main())

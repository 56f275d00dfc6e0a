"""Runs one command of the command line, and tells what people can mend in one line."""

from __future__ import annotations

import argparse
import gc
import importlib
import io
import sys
from collections.abc import Callable, Sequence

from bot.app import logs, proxies
from bot.cli.options import COMMANDS, FAILED, OVERRIDES, USAGE, parse
from config.settings import Settings, load

OURS = ("bot", "config", "handlers")
Command = Callable[[argparse.Namespace, Settings], int | None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. What people can mend is told in one line, without a stack trace."""
    _let_every_character_through()
    options = parse(arguments)
    proxies.exempt_this_machine()
    try:
        settings = load(**{name: getattr(options, name, None) for name in OVERRIDES})
        logs.set_up(settings.log_level if options.command == "run" else "ERROR", hidden=settings.secrets)
        return command(options.command)(options, settings) or 0
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


def command(name: str) -> Command:
    """The function `run` of `bot.cli.NAME`, imported only now: torch alone takes longer than most run."""
    assert name in COMMANDS
    gc.disable()  # modules stay: looking through them again and again is a tenth of a start
    try:
        run: Command = importlib.import_module(f"bot.cli.{name}").run
    finally:
        gc.freeze()  # nor does any later collection look through them
        gc.enable()
    return run


def _let_every_character_through() -> None:
    """Let no character end a command: what a terminal lacks is `?`; bytes that are no text are told later."""
    for stream, errors in ((sys.stdin, "surrogateescape"), (sys.stdout, "replace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)


def _say(problem: str, code: int) -> int:
    print(f"bot: {problem}", file=sys.stderr)
    return code

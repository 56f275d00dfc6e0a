"""Logs: short lines on a terminal, JSON objects elsewhere; the request's id on each, secrets on none."""

from __future__ import annotations

import json
import logging
import re
import secrets
import sys
import time
from collections.abc import Iterable
from contextvars import ContextVar
from types import TracebackType
from typing import TextIO

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

# Slack's tokens, the tickets of its sockets and its answer links, whoever logs them.
_SECRET = re.compile(
    r"xox[a-z](?:\.[a-z]+)?-[\w-]+|xapp-[\w-]+|(?<=ticket=)[^\s&\"']+|(?<=hooks\.slack\.com/)[^\s\"']+"
    r"|(?<=Bearer )[^\s\"']+"
)
_COLOURS = {"WARNING": "\033[33m", "ERROR": "\033[31m", "CRITICAL": "\033[31m"}
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "request_id", "taskName"}


def set_up(level: str = "INFO", hidden: Iterable[str] = (), stream: TextIO | None = None) -> None:
    """Send every log line to `stream` (standard error), without the `hidden` texts.

    Fields given as `extra` become keys of the JSON object.
    """
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter(stream.isatty(), hidden))
    handler.addFilter(note_request)
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    # What these log at INFO is of use to their developers only.
    for name in ("aiosqlite", "alembic", "asyncio", "httpx", "matplotlib"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    # Slack's client logs its own retries at INFO; a final failure is raised, and logged by the caller.
    debugging = root.level <= logging.DEBUG
    logging.getLogger("slack_sdk.web").setLevel(logging.NOTSET if debugging else logging.WARNING)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught


def formatter(terminal: bool, hidden: Iterable[str] = ()) -> logging.Formatter:
    """Short lines for a terminal, else JSON; the `hidden` texts are never written."""
    longest_first = tuple(sorted(filter(None, hidden), key=len, reverse=True))
    return (_Plain if terminal else _Json)(longest_first)


def new_request_id() -> str:
    """A fresh id, set for this task and those it starts."""
    identity = secrets.token_hex(6)
    request_id.set(identity)
    return identity


def _log_uncaught(kind: type[BaseException], problem: BaseException, traceback: TracebackType | None) -> None:
    """What ends the process is logged like everything else, without secrets."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, problem, traceback)
    else:
        logging.getLogger("bot").critical("uncaught exception", exc_info=(kind, problem, traceback))


def note_request(record: logging.LogRecord) -> bool:
    """Filter that puts the request's id on a record."""
    record.request_id = request_id.get()
    return True


class _Redacting(logging.Formatter):
    def __init__(self, hidden: tuple[str, ...]) -> None:
        super().__init__()
        self._hidden = hidden

    def redact(self, text: str) -> str:
        for secret in self._hidden:
            text = text.replace(secret, "***")
        # Half a surrogate pair, which no stream can write, becomes a question mark.
        return _SECRET.sub("***", text).encode("utf-8", "replace").decode()


class _Json(_Redacting):
    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        fields: dict[str, object] = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if identity := vars(record).get("request_id"):
            fields["request_id"] = identity
        fields.update({key: value for key, value in vars(record).items() if key not in _STANDARD})
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        shown = {
            key: value if isinstance(value, (bool, int, float)) else self.redact(str(value))
            for key, value in fields.items()
        }
        return json.dumps(shown, ensure_ascii=False)


class _Plain(_Redacting):
    def format(self, record: logging.LogRecord) -> str:
        colour = _COLOURS.get(record.levelname, "")
        identity = vars(record).get("request_id")
        text = (
            f"{time.strftime('%H:%M:%S', time.localtime(record.created))} {record.levelname.lower():7} "
            f"{record.getMessage()}{f' [{identity}]' if identity else ''}"
        )
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return f"{colour}{self.redact(text)}\033[0m" if colour else self.redact(text)

"""The command line's commands and options; what a command does is in the file of its name."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from config.settings import RULES

OVERRIDES = ("model_dir", "host", "port", "precision", "threads")
USAGE, FAILED = 2, 1  # exit codes
COMMANDS = {
    "run": "start Slack (or the sandbox without tokens), the page and the API; the default",
    "fetch": "put a model under models/",
    "prepare": "write the quantized weights beside a model, so that starting is fast",
    "emotion": "classify a text, lines from standard input, or a CSV file",
    "chat": "a conversation in the terminal; with TEXT one answer",
    "backup": "copy the database into a new file, also while the bot runs",
    "manifest": "print the Slack app manifest",
    "doctor": "check model, tokens, scopes, memory, threads and pitfalls of the platform",
    "bench": "measure speed and memory on this machine",
    "feedback": "print the thumbs up and down that people gave",
    "calibrate": "fit the emotion's confidence to labelled texts",
}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options in `arguments`; without a command it is `run`. Exits with 2 for what it does not know."""
    found = _parser().parse_args(arguments)
    found.command = found.command or "run"
    return found


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the whole usage before it."""

    def error(self, message: str) -> NoReturn:
        if wrong := re.match(r"argument COMMAND: invalid choice: '(.*?)' ", message):
            close = difflib.get_close_matches(wrong[1], COMMANDS, 1)
            meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(COMMANDS)}"
            message = f"there is no command {wrong[1]!r}; {meant}"
        self.exit(USAGE, f"bot: {message} (help: {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    # SUPPRESS keeps a command's defaults from overwriting what was given in front of it.
    common = _Parser(add_help=False, argument_default=argparse.SUPPRESS, allow_abbrev=False)
    common.add_argument(
        "--model-dir",
        "--model_dir",
        type=Path,
        metavar="DIR",
        help="the model's directory or GGUF file (MODEL_DIR)",
    )
    common.add_argument("--host", help="address to listen on; other than 127.0.0.1 needs API_TOKEN (HOST)")
    common.add_argument("--port", type=int, help="port of the page and API (PORT)")
    common.add_argument("--precision", choices=RULES["precision"].choices, help="of the weights (PRECISION)")
    common.add_argument("--threads", type=int, help="for the model; 0 takes one a core (THREADS)")
    parser = _Parser(
        prog="python -m bot",
        parents=[common],
        allow_abbrev=False,
        description="One small language model on a CPU serves a whole Slack team in several roles.",
        epilog="Options override the environment and .env; .env.example explains every variable.",
    )
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    command = {
        name: subparsers.add_parser(name, parents=[common], help=text, description=text, allow_abbrev=False)
        for name, text in COMMANDS.items()
    }
    command["fetch"].add_argument("name", nargs="?", metavar="NAME", help="qwen1.5-0.5b-chat or starter")
    command["prepare"].add_argument("directory", nargs="?", type=Path, metavar="DIR")
    _add_emotion(command["emotion"])
    command["chat"].add_argument("text", nargs="?", metavar="TEXT")
    command["chat"].add_argument(
        "--role", default="chat", metavar="NAME", help="any role that answers in words"
    )
    command["backup"].add_argument("file", type=Path, metavar="FILE")
    command["manifest"].add_argument(
        "--url", action="store_true", help="print the link that creates the app from it"
    )
    command["doctor"].add_argument("--json", action="store_true", help="print one JSON list")
    command["bench"].add_argument("--json", action="store_true", help="print one JSON object")
    command["feedback"].add_argument("--json", action="store_true", help="one JSON object a line")
    command["calibrate"].add_argument(
        "file", type=Path, metavar="FILE.csv", help="with the columns text and label"
    )
    command["calibrate"].add_argument(
        "--force", action="store_true", help="store the fit even where it is no better"
    )
    return parser


def _add_emotion(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("text", nargs="?", metavar="TEXT", help="the text; - reads lines from standard input")
    what.add_argument("--csv", metavar="FILE", help="CSV with a column `text`; - is standard input")
    parser.add_argument(
        "--out", metavar="FILE", help="where the CSV goes with label and confidence; else standard output"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a text")
    parser.add_argument("--strict", action="store_true", help="never 中性")
    parser.add_argument("--explain", action="store_true", help="with the words that decided")
    role = parser.add_mutually_exclusive_group()
    role.add_argument("--role", default="emotion", metavar="NAME", help="any role that has labels")
    role.add_argument(
        "--feelings",
        dest="role",
        action="store_const",
        const="feelings",
        help="finer: joy, anger, sadness… (--role feelings)",
    )


def visible(text: str) -> str:
    """Text without the control characters that a terminal obeys."""
    return "".join(c for c in text if c in "\n\t" or (c.isprintable() or ord(c) > 0x9F))

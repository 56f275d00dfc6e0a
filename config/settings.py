"""The settings of one running bot, typed, from the environment and `.env`.

Every variable is explained in `.env.example`; a value that cannot be used is refused by name
with the way to mend it, before anything is started.
"""

from __future__ import annotations

import difflib
import io
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints
from urllib.parse import urlsplit

PRECISIONS = ("fp32", "bf16", "int8", "int4")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
SLACK_API_URL = "https://slack.com/api/"
HOW_TO_MAKE = "make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
NEARLY = 0.84  # likeness from which a name in `.env` is taken for a setting's with a slip of the pen
ROOT = Path(__file__).resolve().parent.parent
SLACK_MANIFEST = ROOT / "config" / "slack" / "manifest.json"

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?", re.IGNORECASE)

Value = TypeVar("Value")


class SettingsError(ValueError):
    """A variable holds something that cannot be used; the message names it and the mend."""


@dataclass(frozen=True)
class Rule:
    """What a setting's value must be beside its type. An empty string is a setting that is not set."""

    low: int | None = None  # both ends are allowed
    high: int | None = None
    choices: tuple[str, ...] = ()  # in any case
    prefix: str = ""
    what: str = ""  # what begins with `prefix`, and where it is found
    url: bool = False
    example: str = ""  # of a URL
    least: int = 0  # characters
    mend: str = ""  # for a value that is too short
    secret: bool = False
    password: bool = False  # the secret part is a URL's password
    origins: bool = False  # each of the values is a page's origin, or * for any

    def problem(self, value: Any) -> str:
        """What is wrong with `value`, as the rest of a sentence that begins with its name; "" if nothing."""
        if self.choices and value not in self.choices:
            return f"must be one of {', '.join(self.choices)}, not {value!r}"
        if self.low is not None and self.high is not None and not self.low <= value <= self.high:
            return f"must be from {self.low} to {self.high}, not {value}"
        if value == "":
            return ""
        if self.prefix and not value.startswith(self.prefix):
            return f"must be {self.what} and begins with {self.prefix}"
        if self.origins:
            for each in value:
                if each != "*" and not _ORIGIN.fullmatch(each):
                    return (
                        "must hold origins like http://192.168.1.7:3000 or chrome-extension://abcdefgh, "
                        f"without a path, not {each!r}"
                    )
        if self.url and urlsplit(value).scheme not in ("http", "https"):
            return "must begin with http:// or https://" + (f", like {self.example}" if self.example else "")
        if self.least and len(value) < self.least:
            return f"must have at least {self.least} characters; {self.mend}"
        return ""


def setting(default: Value, **rule: Any) -> Value:
    """A field of Settings with a Rule of these arguments."""
    made = Rule(**rule)
    return field(default=default, repr=not (made.secret or made.password), metadata={"rule": made})


@dataclass(frozen=True)
class Settings:
    """One bot's settings. Field names are the environment variables' in lower case.

    A field's type says how its variable is read, its `setting` what the value must be.
    """

    slack_bot_token: str = setting("", secret=True, prefix="xoxb-", what="a bot token (OAuth & Permissions)")
    slack_app_token: str = setting(
        "",
        secret=True,
        prefix="xapp-",
        what="an app-level token (Basic Information, scope connections:write)",
    )
    slack_api_url: str = SLACK_API_URL
    model_dir: Path | None = None
    precision: str = setting("auto", choices=("auto", *PRECISIONS, "gguf"))
    threads: int = setting(0, low=0, high=1024)  # 0: one for each core this process may use
    kernels: str = setting("auto")  # of the instruction sets that kernels/ has; see `doctor`
    host: str = "127.0.0.1"
    port: int = setting(8000, low=0, high=65_535)
    database_url: str = setting("sqlite+aiosqlite:///data/bot.sqlite3", password=True)
    hf_endpoint: str = setting("", url=True)  # empty: the Hugging Face hub itself
    llm_url: str = setting("", url=True, example="http://127.0.0.1:8080/v1")
    llm_model: str = ""  # empty: the first one that the server lists
    llm_api_key: str = setting("", secret=True)
    api_token: str = setting("", secret=True, least=16, mend=HOW_TO_MAKE)
    allowed_hosts: tuple[str, ...] = ()  # names beside localhost and addresses that the API answers to
    allowed_origins: tuple[str, ...] = setting((), origins=True)  # other pages that may use the API; *: any
    rate_limit: int = setting(600, low=0, high=1_000_000)  # requests a minute from one address; 0: no limit
    max_queue: int = setting(64, low=1, high=100_000)
    context_tokens: int = setting(4096, low=256, high=131_072)
    cache_mb: int = setting(128, low=0, high=1_000_000)
    retention_days: int = setting(30, low=0, high=36_500)
    allowed_channels: tuple[str, ...] = ()
    allowed_users: tuple[str, ...] = ()  # Slack user ids; empty: everybody in the workspace
    allowed_teams: tuple[str, ...] = ()  # team ids beside the bot's own, for Slack Connect
    allow_guests: bool = False
    answer_within: int = setting(3600, low=10, high=7 * 86_400)  # seconds; later an answer is an apology
    thread_follow: bool = True
    log_level: str = setting("INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))

    @property
    def local(self) -> bool:
        """Whether the page and API listen on this machine alone."""
        return self.host in LOOPBACK

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that must never be shown."""
        whole = [getattr(self, name) for name, rule in RULES.items() if rule.secret]
        parts = [urlsplit(getattr(self, name)).password for name, rule in RULES.items() if rule.password]
        return tuple(text for text in (*whole, *parts) if text)

    @property
    def slack_configured(self) -> bool:
        """Whether both Slack tokens are set, so that `run` connects to a workspace."""
        return bool(self.slack_bot_token and self.slack_app_token)


RULES: dict[str, Rule] = {each.name: each.metadata.get("rule", Rule()) for each in fields(Settings)}


def load(
    environment: Mapping[str, str] | None = None,
    dotenv: Path | None = ROOT / ".env",
    **overrides: object,
) -> Settings:
    """Settings from `.env`, then the environment, then `overrides` (command line); the last one wins.

    An override of None counts as not given. Raises SettingsError naming the variable and the mend.
    """
    given: dict[str, str] = {}
    if dotenv is not None and dotenv.is_file():
        given.update(_read(dotenv))
    given.update(os.environ if environment is None else environment)
    values: dict[str, Any] = {}
    for name, hint in get_type_hints(Settings).items():
        if text := given.get(name.upper(), "").strip():
            values[name] = _parse(name, hint, text)
    values.update({name: value for name, value in overrides.items() if value is not None})
    settings = Settings(**values)
    _check(settings)
    return settings


def check_exposure(settings: Settings) -> None:
    """Refuse to let others in without a token: other machines, any page. Raises SettingsError."""
    if not settings.local and not settings.api_token:
        raise SettingsError(
            f"HOST={settings.host} lets other machines in, and API_TOKEN is not set: put one into .env "
            f"({HOW_TO_MAKE}), or use HOST=127.0.0.1"
        )
    if "*" in settings.allowed_origins and not settings.api_token:
        raise SettingsError(
            "ALLOWED_ORIGINS=* lets every page in that somebody opens, and API_TOKEN is not set: put one "
            f"into .env ({HOW_TO_MAKE}), or name the origins"
        )


def _read(dotenv: Path) -> dict[str, str]:
    """The variables of a `.env`, others than the settings among them: other programs may read it, too.

    Raises SettingsError for what would be ignored in silence: a line that sets nothing, and a name that is
    nearly that of a setting which the file does not set. The line is not told, since it may hold a secret.
    """
    from dotenv import dotenv_values  # here, so that a Python without it gets as far as to be told so
    from dotenv.parser import parse_stream

    try:
        text = dotenv.read_text(encoding="utf-8-sig")  # Windows' editors begin a file with a mark
    except (OSError, UnicodeDecodeError) as problem:
        raise SettingsError(f"{dotenv} cannot be read ({problem}): correct it, or its owner") from None
    lines = list(parse_stream(io.StringIO(text)))
    settings = {name.upper() for name in RULES}
    missing = settings - {each.key for each in lines}
    for each in lines:
        if each.error or (each.key and each.value is None):
            raise SettingsError(
                f"line {each.original.line} of {dotenv} sets nothing: write it as NAME=value, with quotes "
                "closed, or begin it with #"
            )
        if each.key and each.key not in settings:
            for meant in difflib.get_close_matches(each.key.upper(), missing, 1, NEARLY):
                raise SettingsError(f"{dotenv}: there is no setting {each.key}; did you mean {meant}?")
    return {k: v for k, v in dotenv_values(stream=io.StringIO(text)).items() if v is not None}


def _parse(name: str, hint: object, text: str) -> object:
    for choice in RULES[name].choices:
        if text.lower() == choice.lower():
            return choice
    try:
        return _PARSERS[hint](text)
    except ValueError as problem:
        raise SettingsError(f"{name.upper()} must be {problem}, not {text!r}") from None


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("a whole number") from None


def _switch(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0", "yes", "no", "on", "off"):
        raise ValueError("true or false")
    return text.lower() in ("true", "1", "yes", "on")


_PARSERS: dict[object, Callable[[str], object]] = {
    str: str,
    int: _whole_number,
    bool: _switch,
    tuple[str, ...]: lambda text: tuple(part.strip() for part in text.split(",") if part.strip()),
    Path | None: lambda text: Path(text).expanduser(),
}


def _check(settings: Settings) -> None:
    for name, rule in RULES.items():
        if problem := rule.problem(getattr(settings, name)):
            raise SettingsError(f"{name.upper()} {problem}")
    if bool(settings.slack_bot_token) != bool(settings.slack_app_token):
        missing = "SLACK_APP_TOKEN" if settings.slack_bot_token else "SLACK_BOT_TOKEN"
        raise SettingsError(
            f"{missing} is missing: Slack needs both tokens; with neither, the sandbox starts"
        )

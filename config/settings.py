"""The settings of one running bot, typed, from the environment and `.env`.

Every variable is explained in `.env.example`; a value that cannot be used is refused by name
with the way to mend it, before anything is started.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from urllib.parse import urlsplit

PRECISIONS = ("auto", "fp32", "bf16", "int8", "int4")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
TOKEN_LENGTH = 16  # characters that an API_TOKEN must have
SLACK_API_URL = "https://slack.com/api/"
HOW_TO_MAKE = "make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
ROOT = Path(__file__).resolve().parent.parent


class SettingsError(ValueError):
    """A variable holds something that cannot be used; the message names it and the mend."""


@dataclass(frozen=True)
class Settings:
    """One bot's settings. Field names are the environment variables' in lower case."""

    slack_bot_token: str = field(default="", repr=False)
    slack_app_token: str = field(default="", repr=False)
    slack_api_url: str = SLACK_API_URL
    model_dir: Path | None = None
    precision: str = "auto"
    threads: int = 0  # 0: one for each core this process may use
    host: str = "127.0.0.1"
    port: int = 8000
    database_url: str = field(default="sqlite+aiosqlite:///data/bot.sqlite3", repr=False)
    hf_endpoint: str = ""  # empty: the Hugging Face hub itself
    llm_url: str = ""
    llm_model: str = ""  # empty: the first one that the server lists
    llm_api_key: str = field(default="", repr=False)
    api_token: str = field(default="", repr=False)
    allowed_hosts: tuple[str, ...] = ()  # names beside localhost and addresses that the API answers to
    rate_limit: int = 600  # requests a minute from one address; 0 switches the limit off
    max_queue: int = 64
    context_tokens: int = 4096
    cache_mb: int = 128
    retention_days: int = 30
    allowed_channels: tuple[str, ...] = ()
    allowed_users: tuple[str, ...] = ()  # Slack user ids; empty: everybody in the workspace
    allowed_teams: tuple[str, ...] = ()  # team ids beside the bot's own, for Slack Connect
    allow_guests: bool = False
    answer_within: int = 3600  # seconds after which an answer is too late and becomes an apology
    thread_follow: bool = True
    log_level: str = "INFO"

    @property
    def local(self) -> bool:
        """Whether the page and API listen on this machine alone."""
        return self.host in LOOPBACK

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that must never be shown."""
        found = (self.slack_bot_token, self.slack_app_token, self.api_token, self.llm_api_key)
        password = urlsplit(self.database_url).password
        return tuple(text for text in (*found, password) if text)

    @property
    def slack_configured(self) -> bool:
        """Whether both Slack tokens are set, so that `run` connects to a workspace."""
        return bool(self.slack_bot_token and self.slack_app_token)


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
        from dotenv import dotenv_values  # here, so that a Python without it gets as far as to be told so

        try:
            given.update({k: v for k, v in dotenv_values(dotenv).items() if v is not None})
        except (OSError, UnicodeDecodeError) as problem:
            raise SettingsError(f"{dotenv} cannot be read ({problem}): correct it, or its owner") from None
    given.update(os.environ if environment is None else environment)
    values: dict[str, object] = {}
    for each in fields(Settings):
        text = given.get(each.name.upper(), "").strip()
        if text:
            values[each.name] = _parse(each.name, text)
    values.update({name: value for name, value in overrides.items() if value is not None})
    settings = Settings(**values)  # type: ignore[arg-type]  # each value was parsed by its field's name
    _check(settings)
    return settings


def _parse(name: str, text: str) -> object:
    variable = name.upper()
    if name in (
        "threads",
        "port",
        "max_queue",
        "context_tokens",
        "cache_mb",
        "retention_days",
        "rate_limit",
        "answer_within",
    ):
        try:
            return int(text)
        except ValueError:
            raise SettingsError(f"{variable} must be a whole number, not {text!r}") from None
    if name in ("thread_follow", "allow_guests"):
        if text.lower() not in ("true", "false", "1", "0", "yes", "no", "on", "off"):
            raise SettingsError(f"{variable} must be true or false, not {text!r}")
        return text.lower() in ("true", "1", "yes", "on")
    if name in ("allowed_channels", "allowed_users", "allowed_teams", "allowed_hosts"):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if name == "model_dir":
        return Path(text).expanduser()
    if name == "precision":
        return text.lower()
    if name == "log_level":
        return text.upper()
    return text


def _check(settings: Settings) -> None:
    if settings.precision not in PRECISIONS:
        raise SettingsError(f"PRECISION must be one of {', '.join(PRECISIONS)}, not {settings.precision!r}")
    if settings.log_level not in LOG_LEVELS:
        raise SettingsError(f"LOG_LEVEL must be one of {', '.join(LOG_LEVELS)}, not {settings.log_level!r}")
    for name, low, high in (
        ("threads", 0, 1024),
        ("port", 0, 65535),
        ("max_queue", 1, 100_000),
        ("context_tokens", 256, 131_072),
        ("cache_mb", 0, 1_000_000),
        ("retention_days", 0, 36_500),
        ("rate_limit", 0, 1_000_000),
        ("answer_within", 10, 7 * 86_400),
    ):
        value = getattr(settings, name)
        if not low <= value <= high:
            raise SettingsError(f"{name.upper()} must be from {low} to {high}, not {value}")
    for name, prefix, kind in (
        ("slack_bot_token", "xoxb-", "a bot token (OAuth & Permissions)"),
        ("slack_app_token", "xapp-", "an app-level token (Basic Information, scope connections:write)"),
    ):
        value = getattr(settings, name)
        if value and not value.startswith(prefix):
            raise SettingsError(f"{name.upper()} must be {kind} and begins with {prefix}")
    if settings.hf_endpoint and urlsplit(settings.hf_endpoint).scheme not in ("http", "https"):
        raise SettingsError("HF_ENDPOINT must begin with http:// or https://")
    if settings.llm_url and urlsplit(settings.llm_url).scheme not in ("http", "https"):
        raise SettingsError("LLM_URL must begin with http:// or https://, like http://127.0.0.1:8080/v1")
    if settings.api_token and len(settings.api_token) < TOKEN_LENGTH:
        raise SettingsError(f"API_TOKEN must have at least {TOKEN_LENGTH} characters; {HOW_TO_MAKE}")
    if bool(settings.slack_bot_token) != bool(settings.slack_app_token):
        missing = "SLACK_APP_TOKEN" if settings.slack_bot_token else "SLACK_BOT_TOKEN"
        raise SettingsError(
            f"{missing} is missing: Slack needs both tokens; with neither, the sandbox starts"
        )


def check_exposure(settings: Settings) -> None:
    """Refuse to listen beyond this machine without a token. Raises SettingsError."""
    if not settings.local and not settings.api_token:
        raise SettingsError(
            f"HOST={settings.host} lets other machines in, and API_TOKEN is not set: put one into .env "
            f"({HOW_TO_MAKE}), or use HOST=127.0.0.1"
        )

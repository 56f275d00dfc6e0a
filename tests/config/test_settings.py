"""Settings come from `.env`, the environment and the command line, and what cannot be used is named."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from config.settings import RULES, Settings, SettingsError, load


def test_the_last_one_wins(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("PORT=1\nTHREADS=2\nMAX_QUEUE=3\nLOG_LEVEL=debug\n", encoding="utf-8")
    found = load({"THREADS": "4", "MAX_QUEUE": "5", "PRECISION": " INT8 "}, dotenv, max_queue=6, host=None)
    assert (found.port, found.threads, found.max_queue, found.log_level) == (1, 4, 6, "DEBUG")
    assert (found.precision, found.host) == ("int8", "127.0.0.1")


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    assert load({"PORT": "", "SLACK_BOT_TOKEN": " "}, None) == Settings()


def test_lists_switches_and_directories_are_read() -> None:
    found = load({"ALLOWED_CHANNELS": "C1, C2,,", "THREAD_FOLLOW": "off", "MODEL_DIR": "~/m"}, None)
    assert found.allowed_channels == ("C1", "C2")
    assert found.thread_follow is False
    assert found.model_dir == Path.home() / "m"


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"THREADS": "two"}, "THREADS must be a whole number, not 'two'"),
        ({"THREAD_FOLLOW": "maybe"}, "THREAD_FOLLOW must be true or false, not 'maybe'"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL must be one of DEBUG"),
        ({"SLACK_APP_TOKEN": "xoxb-1"}, "SLACK_APP_TOKEN must be an app-level token"),
        ({"SLACK_APP_TOKEN": "xapp-1"}, "SLACK_BOT_TOKEN is missing"),
        ({"LLM_URL": "ftp://x"}, "LLM_URL must begin with http"),
        ({"API_TOKEN": "short"}, "token_urlsafe"),
    ],
)
def test_what_cannot_be_used_is_named_with_the_mend(environment: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)):
        load(environment, None)


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.high is not None])
def test_a_number_may_be_either_end_of_its_range_and_nothing_beyond(name: str) -> None:
    low, high = RULES[name].low, RULES[name].high
    assert low is not None
    assert high is not None
    for allowed in (low, high):
        assert load({name.upper(): str(allowed)}, None) == replace(Settings(), **{name: allowed})
    for refused in (low - 1, high + 1):
        said = f"{name.upper()} must be from {low} to {high}, not {refused}"
        with pytest.raises(SettingsError, match=re.escape(said)):
            load({name.upper(): str(refused)}, None)


def test_a_file_that_cannot_be_read_is_said_in_one_line(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_bytes(b"PORT=\xff\xfe\n")
    with pytest.raises(SettingsError, match="cannot be read"):
        load({}, dotenv)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ALOWED_CHANNELS=C1", "there is no setting ALOWED_CHANNELS; did you mean ALLOWED_CHANNELS?"),
        ("ALLOWED_USER=U1", "did you mean ALLOWED_USERS?"),
        ("SLACK_TOKEN=xoxb-secret", "did you mean SLACK_BOT_TOKEN?"),
        ("port=8001", "there is no setting port; did you mean PORT?"),
        ("SLACK_BOT_TOKEN xoxb-secret", "line 2 of "),
        ('API_TOKEN="secret-that-never-ends', "sets nothing: write it as NAME=value"),
        ("RETENTION_DAYS", "line 2 of "),
    ],
)
def test_what_a_file_would_have_ignored_is_refused_and_not_repeated(
    tmp_path: Path, line: str, said: str
) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text(f"# of the team\n{line}\nMAX_QUEUE=3\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=re.escape(said)) as refused:
        load({}, dotenv)
    assert "secret" not in str(refused.value)


def test_a_file_may_hold_other_programs_variables_and_a_byte_order_mark(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    others = "PYTHONUNBUFFERED=1\nTZ=Asia/Shanghai\nOPENAI_API_KEY=k\nHOSTNAME=pi\nHTTPS_PROXY=http://p:1\n"
    nearly = "TEST_DATABASE_URL=x\nPORTS=80,443\n"
    dotenv.write_text(f"\ufeffPORT=8001\n{others}{nearly}", encoding="utf-8")
    assert load({}, dotenv) == replace(Settings(), port=8001)


def test_secrets_are_known_and_never_shown() -> None:
    found = load(
        {
            "SLACK_BOT_TOKEN": "xoxb-secret-1",
            "SLACK_APP_TOKEN": "xapp-secret-2",
            "API_TOKEN": "secret-3-and-long-enough",
            "LLM_API_KEY": "secret-4",
            "DATABASE_URL": "postgresql+asyncpg://bot:secret-5@db/bot",
        },
        None,
    )
    assert len(found.secrets) == 5
    assert "secret" not in repr(found)

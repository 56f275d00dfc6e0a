"""What an operator sees of an answer in Slack: figures and log lines, and never what was said."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest
from running_bot import RunningBot

from bot.app import logs, metrics

SAID, ANSWERED = "my secret is a purple walrus", "a walrus of purple indeed"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that is logged at INFO and above, as it is written when nobody watches a terminal."""
    root = logging.getLogger()
    stream, form = io.StringIO(), logs.formatter(terminal=False)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(form)
    handler.addFilter(logs.note_request)
    level = root.level
    root.addHandler(handler)
    root.setLevel("INFO")
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


async def test_an_answer_is_counted_and_nothing_of_it_is_logged(bot: RunningBot, log: io.StringIO) -> None:
    before = answered()
    bot.engine.answers = [ANSWERED]
    ts = await bot.sandbox.post("Ada", "general", f"@All-in-One Bot {SAID}")
    await bot.replies("general", ts)
    await bot.idle()
    assert answered() == before + 1
    text = log.getvalue()
    assert "walrus" not in text
    for token in (bot.sandbox.bot_token, bot.sandbox.app_token):
        assert token not in text


async def test_what_fails_is_logged_under_the_requests_key(bot: RunningBot, log: io.StringIO) -> None:
    bot.engine.fails = True
    ts = await bot.sandbox.post("Ada", "general", f"@All-in-One Bot {SAID}")
    await bot.replies("general", ts)
    await bot.idle()
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert "walrus" not in log.getvalue()
    failed = [line for line in lines if line["level"] in ("WARNING", "ERROR")]
    assert failed
    assert all(ts in line.get("request_id", "") for line in failed)


def answered() -> float:
    """How many requests Slack had answered."""
    line = r'^bot_requests_total\{outcome="answered",surface="slack"\} (\S+)$'
    found = re.search(line, metrics.exposition().decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0

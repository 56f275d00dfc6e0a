"""What an operator sees of an answer in Slack: figures and log lines, and never what was said."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest
from slack_bench import Bench

from bot import logs, metrics

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


async def test_an_answer_is_counted_and_nothing_of_it_is_logged(bench: Bench, log: io.StringIO) -> None:
    before = answered()
    bench.engine.answers = [ANSWERED]
    ts = await bench.sandbox.post("Ada", "general", f"@All-in-One Bot {SAID}")
    await bench.replies("general", ts)
    await bench.idle()
    assert answered() == before + 1
    text = log.getvalue()
    assert "walrus" not in text
    for token in (bench.sandbox.bot_token, bench.sandbox.app_token):
        assert token not in text


async def test_what_fails_is_logged_under_the_requests_key(bench: Bench, log: io.StringIO) -> None:
    bench.engine.fails = True
    ts = await bench.sandbox.post("Ada", "general", f"@All-in-One Bot {SAID}")
    await bench.replies("general", ts)
    await bench.idle()
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

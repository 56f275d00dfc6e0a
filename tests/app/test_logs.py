"""Logs are JSON with a request's id on each line, and without secrets."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
from typing import Any

import pytest
from aiohttp import ClientConnectionError
from slack_sdk.http_retry.builtin_async_handlers import AsyncConnectionErrorRetryHandler
from slack_sdk.http_retry.builtin_interval_calculators import FixedValueRetryIntervalCalculator
from slack_sdk.web.async_client import AsyncWebClient

from bot.app import logs

pytestmark = pytest.mark.usefixtures("logging_as_before")
SECRET = "a-token-that-is-long-enough"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def written(stream: io.StringIO) -> list[dict[str, Any]]:
    """Every line as JSON."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_off_a_terminal_each_line_is_one_json_object() -> None:
    stream = io.StringIO()
    logs.set_up("INFO", stream=stream)
    logging.getLogger("a.b").info("two\nlines of %s", "中文", extra={"tokens": 7})
    logging.getLogger("a.b").debug("not at this level")
    (line,) = written(stream)
    assert (line["level"], line["logger"], line["message"]) == ("INFO", "a.b", "two\nlines of 中文")
    assert line["tokens"] == 7
    assert "中文" in stream.getvalue()
    assert line["time"].endswith("Z")
    assert "request_id" not in line


async def test_a_requests_id_is_on_all_lines_of_its_tasks_and_no_others() -> None:
    stream = io.StringIO()
    logs.set_up("INFO", stream=stream)

    async def later(name: str) -> None:
        await asyncio.sleep(0)
        logging.getLogger("x").info(name)

    async def request(name: str) -> str:
        identity = logs.new_request_id()
        await asyncio.gather(later(name), later(name))
        return identity

    first, second = await asyncio.gather(request("first"), request("second"))
    assert first != second
    found = {(line["message"], line["request_id"]) for line in written(stream)}
    assert found == {("first", first), ("second", second)}


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_secrets_are_hidden_wherever_they_turn_up(stream: io.StringIO) -> None:
    logs.set_up("DEBUG", hidden=(SECRET, ""), stream=stream)
    log = logging.getLogger("x")
    log.info("the token is %s", SECRET)
    log.info("headers %s", {"Authorization": f"Bearer {SECRET}"}, extra={"key": SECRET, "list": [SECRET]})
    slack = "xoxb-1234-" + "abcDEF"
    log.info("slack %s %s %s", slack, "xapp-1-A1-" + "2-abc", "xoxe.xoxp-1-" + "Mi0y")
    log.info("wss://wss-primary.slack.com/link/?ticket=" + "abc-123&app_id=A1")
    log.info("https://hooks.slack.com/" + "commands/T1/2/abcdef")
    try:
        raise ValueError(f"bad {SECRET}")
    except ValueError:
        log.exception("failed")
    text = stream.getvalue()
    for hidden in (SECRET, slack, "xapp-1-A1", "xoxe.xoxp-1-Mi", "abc-123", "T1/2/abcdef"):
        assert hidden not in text
    assert "app_id=A1" in text
    assert "ValueError: bad ***" in text


def test_on_a_terminal_lines_are_short_and_for_people() -> None:
    stream = Terminal()
    logs.set_up("INFO", stream=stream)
    logs.request_id.set("abcdef")
    logging.getLogger("x").info("it works")
    logging.getLogger("x").error("it does not")
    first, second = stream.getvalue().splitlines()
    assert first.endswith("info    it works [abcdef]")
    assert second.startswith("\033[31m")
    assert second.endswith("\033[0m")


def test_what_cannot_be_json_is_written_all_the_same() -> None:
    stream = io.StringIO()
    logs.set_up("INFO", stream=stream)
    logging.getLogger("x").info("%s", "\ud83d half a pair", extra={"thing": object()})
    (line,) = written(stream)
    assert line["thing"].startswith("<object object")


def test_an_uncaught_exception_is_one_json_line_too() -> None:
    stream = io.StringIO()
    logs.set_up("INFO", stream=stream)
    try:
        raise RuntimeError(f"at the end {'xoxb-1-' + 'secret'}")
    except RuntimeError:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]  # there is an exception
    (line,) = written(stream)
    assert line["level"] == "CRITICAL"
    assert "RuntimeError: at the end ***" in line["exception"]


@pytest.mark.parametrize(("level", "told"), [("INFO", False), ("DEBUG", True)])
async def test_a_request_that_the_slack_sdk_repeats_is_told_to_who_debugs(level: str, told: bool) -> None:
    stream = io.StringIO()
    logs.set_up(level, stream=stream)
    again = AsyncConnectionErrorRetryHandler(interval_calculator=FixedValueRetryIntervalCalculator(0.0))
    nobody = AsyncWebClient(base_url="http://127.0.0.1:1/", retry_handlers=[again])
    with pytest.raises(ClientConnectionError):
        await nobody.auth_test()
    assert ("A retry handler found" in stream.getvalue()) == told
    assert ("slack_sdk" in stream.getvalue()) == told

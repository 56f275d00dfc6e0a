"""How the bot calls Slack's Web API: within its limits, and again where that is safe."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from email.utils import parsedate_to_datetime
from typing import Any

from aiohttp import ClientError
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry import HttpRequest, HttpResponse, RetryState
from slack_sdk.http_retry.async_handler import AsyncRetryHandler
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot import metrics

ATTEMPTS = 5  # after "too many requests"
SPACING = 0.25  # seconds between the calls that waited for the same limit
PAUSES = (0.5, 2.0, 5.0)  # seconds before a safe call is made again
# What Slack answers when the same call may succeed later.
PASSING = (
    "fatal_error",
    "internal_error",
    "ratelimited",
    "rate_limited",
    "request_timeout",
    "service_unavailable",
)
# Doing one of these twice is seen by people, so only who can look for the first makes it again.
ONCE = ("chat.postMessage", "chat.postEphemeral", "chat.startStream", "chat.appendStream", "views.open")


def is_passing(problem: BaseException) -> bool:
    """Whether a failed call to Slack may succeed when it is made again."""
    if isinstance(problem, SlackApiError):
        response = problem.response
        if not isinstance(response, AsyncSlackResponse):  # the body was no JSON
            return int(getattr(response, "status", 200)) >= 500
        return response.status_code >= 500 or response.status_code == 429 or response.get("error") in PASSING
    return isinstance(problem, (ClientError, asyncio.TimeoutError, OSError))


class Budget:
    """When each method may be called again after Slack said "too many"; shared by all its callers."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}  # monotonic seconds

    def exhausted(self, method: str, seconds: float) -> None:
        """Slack wants no call of this method for so long."""
        self._until[method] = max(self._until.get(method, 0.0), time.monotonic() + seconds)

    async def wait(self, method: str) -> None:
        """Wait until the method may be called; those who wait go one behind the other."""
        until, now = self._until.get(method, 0.0), time.monotonic()
        if until <= now:
            self._until.pop(method, None)
            return
        self._until[method] = until + SPACING
        await asyncio.sleep(until - now)


class LimitedWebClient(AsyncWebClient):
    """Slack's client with one budget a method, and safe calls made again after passing failures."""

    def __init__(self, token: str, base_url: str) -> None:
        self.budget = Budget()
        self._ahead = 0.0  # seconds by which Slack's clock is ahead of this machine's
        handlers: list[AsyncRetryHandler] = [TooMany(self.budget), Passing()]
        super().__init__(token=token, base_url=base_url, retry_handlers=handlers)

    async def api_call(self, api_method: str, **arguments: Any) -> AsyncSlackResponse:
        """Call a method once its budget allows."""
        await self.budget.wait(api_method)
        response = await super().api_call(api_method, **arguments)
        with contextlib.suppress(KeyError, TypeError, ValueError):  # a proxy may take the header away
            said = parsedate_to_datetime(response.headers["Date"]).timestamp()
            self._ahead = said - time.time()
        return response

    def now(self) -> float:
        """Seconds since 1970 by Slack's clock: small machines have no clock of their own while off."""
        return time.time() + self._ahead


class TooMany(AsyncRetryHandler):
    """After 429, waits as long as Slack says, together with everybody who calls the same method."""

    def __init__(self, budget: Budget) -> None:
        super().__init__(max_retry_count=ATTEMPTS)
        self._budget = budget

    async def _can_retry_async(
        self,
        *,
        state: RetryState,
        request: HttpRequest,
        response: HttpResponse | None = None,
        error: Exception | None = None,
    ) -> bool:
        return response is not None and response.status_code == 429

    async def prepare_for_next_attempt_async(
        self,
        *,
        state: RetryState,
        request: HttpRequest,
        response: HttpResponse | None = None,
        error: Exception | None = None,
    ) -> None:
        """Wait for the method's budget."""
        method = _method(request)
        metrics.RETRIES.labels(method, "too_many").inc()
        self._budget.exhausted(method, _retry_after(response))
        await self._budget.wait(method)
        state.next_attempt_requested = True
        state.increment_current_attempt()


class Passing(AsyncRetryHandler):
    """After a server's fault, a lost connection or a time-out, makes calls again that are safe to repeat."""

    def __init__(self) -> None:
        super().__init__(max_retry_count=len(PAUSES))

    async def _can_retry_async(
        self,
        *,
        state: RetryState,
        request: HttpRequest,
        response: HttpResponse | None = None,
        error: Exception | None = None,
    ) -> bool:
        if _method(request) in ONCE or _method(request).startswith("files."):
            return False
        said = response.body if response is not None else None
        failed = response is not None and (
            response.status_code >= 500 or (isinstance(said, dict) and said.get("error") in PASSING)
        )
        return failed or (error is not None and not isinstance(error, SlackApiError) and is_passing(error))

    async def prepare_for_next_attempt_async(
        self,
        *,
        state: RetryState,
        request: HttpRequest,
        response: HttpResponse | None = None,
        error: Exception | None = None,
    ) -> None:
        """Wait a little, longer each time."""
        metrics.RETRIES.labels(_method(request), "error" if response is None else "server").inc()
        pause = PAUSES[min(state.current_attempt, len(PAUSES) - 1)]
        await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311  spreads calls, guards nothing
        state.next_attempt_requested = True
        state.increment_current_attempt()


def _method(request: HttpRequest) -> str:
    return request.url.split("?")[0].rstrip("/").rpartition("/")[2]


def _retry_after(response: HttpResponse | None) -> float:
    for name, value in (response.headers if response else {}).items():
        if name.lower() == "retry-after":
            text = value[0] if isinstance(value, list) else value
            return float(text) if str(text).isdigit() else 1.0
    return 1.0

"""The Web API client: within Slack's rate limits, and again where that is safe."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from slack_sdk.errors import SlackApiError, SlackRequestError
from slack_sdk.http_retry import HttpRequest, HttpResponse, RetryState
from slack_sdk.http_retry.async_handler import AsyncRetryHandler
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse
from slack_sdk.webhook.async_client import AsyncWebhookClient

from bot.app import metrics, retry
from bot.app.proxies import proxy_for
from handlers.transport.slack_errors import TRANSIENT, is_transient

RATE_LIMIT_RETRIES = 5
SPACING = 0.25  # seconds between the calls that waited for the same limit
TRANSIENT_RETRIES = 4  # of a safe call, some six seconds
RESPONSE_URL, UPLOAD = "response_url", "upload"  # stand for a method where the address is a secret
# Doing one of these twice is seen by people, so only who can look for the first makes it again.
NOT_IDEMPOTENT = (
    "chat.postMessage",
    "chat.postEphemeral",
    "chat.startStream",
    "chat.appendStream",
    "views.open",
)


class RateLimits:
    """When each method may be called again after Slack said 429; shared by all its callers."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}  # monotonic seconds, by method

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


class RateLimitedWebClient(AsyncWebClient):
    """Slack's client that respects each method's rate limit and makes safe calls again."""

    def __init__(self, token: str, base_url: str) -> None:
        self.rate_limits = RateLimits()
        self._ahead = 0.0  # seconds by which Slack's clock is ahead of this machine's
        handlers: list[AsyncRetryHandler] = [RateLimitRetry(self.rate_limits), TransientErrorRetry()]
        super().__init__(token=token, base_url=base_url, retry_handlers=handlers)
        self.proxy = proxy_for(self.base_url)  # the SDK itself reads no NO_PROXY

    async def api_call(self, api_method: str, **arguments: Any) -> AsyncSlackResponse:
        """Call a method once its rate limit allows."""
        await self.rate_limits.wait(api_method)
        response = await super().api_call(api_method, **arguments)
        with contextlib.suppress(KeyError, TypeError, ValueError):  # a proxy may take the header away
            said = parsedate_to_datetime(response.headers["Date"]).timestamp()
            self._ahead = said - time.time()
        return response

    async def respond(self, response_url: str, body: Mapping[str, Any]) -> None:
        """Answer at a response_url. Raises SlackRequestError where Slack does not take it."""
        # An answer twice would be seen: whoever asked for it decides what follows any other failure.
        retries: list[AsyncRetryHandler] = [RateLimitRetry(RateLimits(), RESPONSE_URL)]  # each has its own
        webhook = AsyncWebhookClient(response_url, retry_handlers=retries)
        webhook.proxy = proxy_for(response_url)
        answer = await webhook.send_dict(dict(body))
        if answer.status_code != 200:
            raise SlackRequestError(
                f"the response_url refused the answer: {answer.status_code} {answer.body[:200]}"
            )

    def now(self) -> float:
        """Seconds since 1970 by Slack's clock: small machines have no clock of their own while off."""
        return time.time() + self._ahead


class RateLimitRetry(AsyncRetryHandler):
    """After 429, waits as long as Slack says, together with everybody who calls the same method."""

    def __init__(self, rate_limits: RateLimits, method: str = "") -> None:
        super().__init__(max_retry_count=RATE_LIMIT_RETRIES)
        self._rate_limits, self._fixed = rate_limits, method

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
        """Wait for the method's rate limit."""
        method = self._fixed or _method(request)
        metrics.RETRIES.labels(method, "too_many").inc()
        self._rate_limits.exhausted(method, _retry_after(response))
        await self._rate_limits.wait(method)
        state.next_attempt_requested = True
        state.increment_current_attempt()


class TransientErrorRetry(AsyncRetryHandler):
    """After a server's fault, a lost connection or a time-out, makes idempotent calls again."""

    def __init__(self) -> None:
        super().__init__(max_retry_count=TRANSIENT_RETRIES)

    async def _can_retry_async(
        self,
        *,
        state: RetryState,
        request: HttpRequest,
        response: HttpResponse | None = None,
        error: Exception | None = None,
    ) -> bool:
        method = _method(request)
        if method in NOT_IDEMPOTENT or method.startswith("files."):
            return False
        body = response.body if response is not None else None
        failed = response is not None and (
            response.status_code >= 500 or (isinstance(body, dict) and body.get("error") in TRANSIENT)
        )
        return failed or (error is not None and not isinstance(error, SlackApiError) and is_transient(error))

    async def prepare_for_next_attempt_async(
        self,
        *,
        state: RetryState,
        request: HttpRequest,
        response: HttpResponse | None = None,
        error: Exception | None = None,
    ) -> None:
        """Wait a little, longer each time."""
        method = _method(request)
        metrics.RETRIES.labels(method, "error" if response is None else "server").inc()
        await asyncio.sleep(retry.pause(state.current_attempt))
        state.next_attempt_requested = True
        state.increment_current_attempt()


def _method(request: HttpRequest) -> str:
    """The Web API method that is called; UPLOAD for the address at which a file's bytes are left."""
    name = request.url.split("?")[0].rstrip("/").rpartition("/")[2]
    return name if "." in name else UPLOAD


def _retry_after(response: HttpResponse | None) -> float:
    for name, value in (response.headers if response else {}).items():
        if name.lower() == "retry-after":
            text = value[0] if isinstance(value, list) else value
            return float(text) if str(text).isdigit() else 1.0
    return 1.0

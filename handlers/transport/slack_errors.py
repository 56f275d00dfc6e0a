"""What Slack's refusals mean: which go away by themselves, and after which nothing can be said any more."""

from __future__ import annotations

import asyncio

from aiohttp import ClientError, InvalidURL
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_slack_response import AsyncSlackResponse

# Error codes with which the same call may succeed later.
TRANSIENT = (
    "fatal_error",
    "internal_error",
    "ratelimited",
    "rate_limited",
    "request_timeout",
    "service_unavailable",
)
# Error codes with which no call for the same place, or none at all, will succeed.
GONE = (
    "account_inactive",
    "channel_not_found",
    "invalid_auth",
    "is_archived",
    "is_inactive",
    "not_authed",
    "not_in_channel",
    "team_access_not_granted",
    "thread_not_found",
    "token_expired",
    "token_revoked",
)


class SlackRefused(RuntimeError):
    """Slack does not take the tokens; the message says the mend."""

    def __init__(self, code: str) -> None:
        super().__init__(
            f"Slack refuses the bot ({code}): check SLACK_BOT_TOKEN and SLACK_APP_TOKEN "
            "against the app's pages, or run `python -m bot doctor`"
        )


def is_transient(problem: BaseException) -> bool:
    """Whether a failed call to Slack may succeed when it is made again."""
    if isinstance(problem, SlackApiError):
        response = problem.response
        if not isinstance(response, AsyncSlackResponse):  # the body was no JSON
            return int(getattr(response, "status", 200)) >= 500
        return (
            response.status_code >= 500 or response.status_code == 429 or response.get("error") in TRANSIENT
        )
    if isinstance(problem, InvalidURL):
        return False
    return isinstance(problem, (ClientError, asyncio.TimeoutError, OSError))


def is_gone(problem: BaseException) -> bool:
    """Whether the channel or thread is closed to the bot, or the bot is no longer let in at all."""
    return error_code(problem) in GONE


def error_code(problem: BaseException) -> str:
    """Slack's name of an error, or what kind of problem it is."""
    if isinstance(problem, SlackApiError) and isinstance(problem.response, AsyncSlackResponse):
        return str(problem.response.get("error"))
    return type(problem).__name__

"""Slack: whether it takes both tokens, and whether the app was given every scope of the manifest."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import ClientError
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.app.proxies import proxy_for
from bot.doctor.findings import Finding, broken, fine
from config.settings import SLACK_MANIFEST, Settings

WHERE = "at api.slack.com/apps"
_TOKENS = {
    "invalid_auth": f"copy it again from the app's page {WHERE}",
    "not_authed": f"copy it again from the app's page {WHERE}",
    "account_inactive": "the app was removed from the workspace: install it again",
    "token_revoked": "the app was removed from the workspace: install it again",
    "token_expired": "switch token rotation off in the app's settings and install it again",
    "not_allowed_token_type": "the two tokens are mixed up, or of another kind",
}


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """What Slack says of the tokens, and each scope that is missing."""
    if not settings.slack_configured:
        yield fine("slack", "no tokens are set: `run` starts the sandbox")
        return
    bot = _client(settings.slack_bot_token, settings)
    try:
        found = await bot.auth_test()
    except SlackApiError as problem:
        yield _refused("SLACK_BOT_TOKEN", problem)
    except (ClientError, OSError, asyncio.TimeoutError) as problem:
        yield broken(
            "slack",
            f"{settings.slack_api_url} cannot be reached ({type(problem).__name__})",
            "see that this machine reaches it, by proxy if need be (HTTPS_PROXY, NO_PROXY)",
        )
        return
    else:
        yield fine("slack", f"bot token of {found.get('user')} in the workspace {found.get('team')}")
        for finding in scopes(str(found.headers.get("x-oauth-scopes", ""))):
            yield finding
    yield await _app_token(settings)


def scopes(given: str) -> list[Finding]:
    """One finding a missing scope, or one that says there is none missing."""
    manifest: dict[str, Any] = json.loads(SLACK_MANIFEST.read_text(encoding="utf-8"))
    wanted = manifest["oauth_config"]["scopes"]["bot"]
    have = {scope.strip() for scope in given.split(",")}
    mend = f"add it under OAuth & Permissions {WHERE}, then install the app again"
    missing = [broken("scope", f"{scope} is missing", mend) for scope in wanted if scope not in have]
    return missing or [fine("scopes", f"all {len(wanted)} of the manifest")]


async def _app_token(settings: Settings) -> Finding:
    """Whether a socket may be opened. The address Slack gives is thrown away, and expires."""
    client = _client(settings.slack_app_token, settings)
    try:
        await client.apps_connections_open(app_token=settings.slack_app_token)
    except SlackApiError as problem:
        if problem.response.get("error") == "missing_scope":
            return broken(
                "socket",
                "SLACK_APP_TOKEN lacks the scope connections:write",
                f"make a new app-level token with it under Basic Information {WHERE}",
            )
        return _refused("SLACK_APP_TOKEN", problem)
    except (ClientError, OSError, asyncio.TimeoutError) as problem:
        return broken("socket", f"Slack cannot be reached ({type(problem).__name__})", "try again")
    return fine("socket", "the app token opens socket mode")


def _client(token: str, settings: Settings) -> AsyncWebClient:
    client = AsyncWebClient(token, base_url=settings.slack_api_url, timeout=10)
    client.proxy = proxy_for(client.base_url)  # the SDK itself reads no NO_PROXY
    return client


def _refused(variable: str, problem: SlackApiError) -> Finding:
    code = str(problem.response.get("error"))
    return broken(
        "slack", f"refuses {variable} ({code})", _TOKENS.get(code, f"look at the app's page {WHERE}")
    )

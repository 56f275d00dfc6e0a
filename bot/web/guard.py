"""Who may use the page and API: the right Host and Origin, the token, not too often."""

from __future__ import annotations

import hmac
import ipaddress
import logging
import socket
import time
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from cachetools import LRUCache

from bot.app.logs import new_request_id, request_id
from bot.web.context import CONTEXT, unless_stopping
from bot.web.errors import Refused
from bot.web.json_body import read_body
from config.settings import Settings

log = logging.getLogger(__name__)

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
PROTECTED = ("/api/", "/v1/", "/metrics")
# What a page of an allowed origin is told before and with an answer (CORS, Private Network Access).
PREFLIGHT = {"Access-Control-Allow-Methods": "GET, POST", "Access-Control-Max-Age": "600"}
EXPOSED = "Retry-After, X-Request-Id"
_ALLOWED = web.RequestKey("allowed_origin", str)  # where a request keeps the origin that was let in
MAX_ADDRESSES = 10_000  # whose request rates are remembered


@web.middleware
async def log_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Middleware: an id for each request, and one log line without its text."""
    identity = new_request_id()
    start = time.perf_counter()
    status = 499  # as nginx counts a client that went away
    try:
        response = await handler(request)
        status = response.status
        return response
    finally:
        milliseconds = (time.perf_counter() - start) * 1000
        level = logging.INFO if request.path.startswith(("/api/", "/v1/")) else logging.DEBUG
        log.log(level, "%s %s %d %.0f ms", request.method, request.rel_url.raw_path, status, milliseconds)
        request_id.set(identity)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Signal handler: the security headers and the request's id, streamed responses included."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.app[CONTEXT].opening.settings.allowed_origins:
        response.headers["Vary"] = ", ".join([*response.headers.getall("Vary", []), "Origin"])
    if _ALLOWED in request:
        response.headers["Access-Control-Allow-Origin"] = request[_ALLOWED]
        response.headers["Access-Control-Expose-Headers"] = EXPOSED
    response.headers["X-Request-Id"] = request_id.get() or ""
    response.headers["Server"] = "bot"


def check_origin(settings: Settings) -> Middleware:
    """Middleware that refuses foreign Host headers (DNS rebinding) and other sites' scripts.

    Scripts of ALLOWED_ORIGINS are let in, and their browsers' questions beforehand (preflights) answered.
    """
    allowed = {origin.lower() for origin in settings.allowed_origins}
    names = {"localhost", *(name.lower() for name in settings.allowed_hosts)}
    if not settings.local:
        own = socket.gethostname().lower()
        names |= {own, f"{own}.local", settings.host.lower()}

    def is_own(host: str) -> bool:
        name = _hostname(f"//{host}")
        if name in names:
            return True
        try:  # a rebound name is a name; an address in Host cannot be one
            address = ipaddress.ip_address(name or "")
        except ValueError:
            return False
        return address.is_loopback or not settings.local

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = request.headers.get("Host", "")
        if not is_own(host):
            raise Refused(
                403,
                "wrong_host",
                "this server does not answer to the name in the Host header; "
                "add it to ALLOWED_HOSTS if it is yours",
            )
        origin = request.headers.get("Origin")
        # A proxy in front may speak https; the scheme is its business, the name must be the same.
        if origin is not None and _netloc(origin) != host.lower():
            if origin.lower() not in allowed and "*" not in allowed:
                raise _wrong_origin(f"; add {origin[:100]} to ALLOWED_ORIGINS if it is yours")
            request[_ALLOWED] = origin
            if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
                return _preflight(request)
            return await handler(request)
        # Where a browser omits Origin, Sec-Fetch-Site still tells that another site's page asks.
        if request.headers.get("Sec-Fetch-Site") == "cross-site" and request.path.startswith(PROTECTED):
            raise _wrong_origin()
        return await handler(request)

    return check


def limit_concurrency(settings: Settings) -> Middleware:
    """Middleware that answers at most MAX_QUEUE requests of the API at once, whatever they wait for.

    A request whose body has not arrived takes no place of them.
    """
    running = 0

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal running
        if request.method != "POST" or request.match_info.http_exception is not None:
            return await handler(request)
        await unless_stopping(request, read_body(request))
        if running >= settings.max_queue:
            raise Refused(503, "busy", "too many requests are being answered; try again", retry_after=2)
        running += 1
        try:
            return await handler(request)
        finally:
            running -= 1

    return check


def check_token(settings: Settings) -> Middleware:
    """Middleware that demands API_TOKEN, where one is set, for all but the page and the health checks."""
    expected = settings.api_token.encode()

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if expected and request.path.startswith(PROTECTED):
            scheme, _, given = request.headers.get("Authorization", "").partition(" ")
            sent = given.strip().encode("utf-8", "surrogateescape")
            if scheme.lower() != "bearer" or not hmac.compare_digest(sent, expected):
                raise Refused(
                    401, "unauthorized", "send the header Authorization: Bearer and the bot's API_TOKEN"
                )
        return await handler(request)

    return check


def limit_rate(settings: Settings) -> Middleware:
    """Middleware that lets one address make `rate_limit` requests a minute (a token bucket)."""
    capacity = float(settings.rate_limit)
    # Each address's tokens, and when they were counted.
    buckets: LRUCache[str, tuple[float, float]] = LRUCache(MAX_ADDRESSES)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if capacity and request.path.startswith(PROTECTED):
            address, now = request.remote or "", time.monotonic()
            tokens, counted = buckets.get(address, (capacity, now))
            tokens = min(capacity, tokens + (now - counted) * capacity / 60)
            buckets[address] = (tokens - 1 if tokens >= 1 else tokens, now)
            if tokens < 1:
                raise Refused(
                    429,
                    "rate_limited",
                    f"at most {settings.rate_limit} requests a minute; wait, or raise RATE_LIMIT",
                    retry_after=(1 - tokens) * 60 / capacity,
                )
        return await handler(request)

    return check


def _wrong_origin(mend: str = "") -> Refused:
    return Refused(403, "wrong_origin", f"pages of other sites may not use this server{mend}")


def _preflight(request: web.Request) -> web.Response:
    """Yes to what a browser asks before a script's request; the request itself is checked when it comes."""
    headers = dict(PREFLIGHT)
    if asked := request.headers.get("Access-Control-Request-Headers"):
        headers["Access-Control-Allow-Headers"] = asked
    if request.headers.get("Access-Control-Request-Private-Network") == "true":
        headers["Access-Control-Allow-Private-Network"] = "true"
    return web.Response(status=204, headers=headers)


def _netloc(url: str) -> str | None:
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return None


def _hostname(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None

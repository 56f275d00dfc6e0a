"""Who may talk to the sandbox: programs on this machine, and pages that it served itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from config.settings import LOOPBACK

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def guard(port: Callable[[], int]) -> Any:
    """Middleware that refuses foreign Host and Origin headers (DNS rebinding, other sites' scripts)."""

    def ours(netloc: str) -> bool:
        try:
            parts = urlsplit(f"//{netloc}")
            return parts.hostname in LOOPBACK and (parts.port or 80) == port()
        except ValueError:
            return False

    @web.middleware
    async def check(request: web.Request, handler: _Handler) -> web.StreamResponse:
        if not ours(request.headers.get("Host", "")):
            raise web.HTTPForbidden(text="this server answers at localhost only")
        origin = request.headers.get("Origin")
        if origin is not None and not (origin.startswith("http://") and ours(origin[7:])):
            raise web.HTTPForbidden(text="other sites may not use this server")
        response = await handler(request)
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    return check

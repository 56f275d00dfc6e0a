"""GET /healthz, /readyz and /metrics: for supervisors, load balancers and Prometheus."""

from __future__ import annotations

from aiohttp import web

from bot.app import metrics
from bot.web.context import CONTEXT
from bot.web.responses import json_response


async def healthz(_: web.Request) -> web.Response:
    """Alive: the event loop answers."""
    return json_response({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """Ready: 200 when every part is, else 503 naming those that are not."""
    parts = request.app[CONTEXT].ready()
    if all(parts.values()):
        return json_response({"status": "ready", "parts": parts})
    waiting = ", ".join(name for name, ready in parts.items() if not ready)
    return json_response(
        {
            "status": "not ready",
            "parts": parts,
            "error": {"code": "not_ready", "message": f"not ready: {waiting}"},
        },
        status=503,
        headers={"Retry-After": "3"},
    )


async def show_metrics(_: web.Request) -> web.Response:
    """Everything that is counted and timed."""
    return web.Response(body=metrics.exposition(), headers={"Content-Type": metrics.CONTENT_TYPE})

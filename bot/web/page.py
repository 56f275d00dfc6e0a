"""GET /: the page with the two boxes, in the browser's language, and its files."""

from __future__ import annotations

import json
from pathlib import Path

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bot.web.context import CONTEXT
from bot.web.words import language_of, words

FINER = "feelings"  # the role behind the button for finer feelings, where there is such a role
DIRECTORY = Path(__file__).parent / "page"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_PAGE = Environment(
    loader=FileSystemLoader(DIRECTORY), autoescape=True, undefined=StrictUndefined
).get_template("index.html")


async def show(request: web.Request) -> web.Response:
    """The page."""
    said = words(language_of(request.headers.get("Accept-Language", "")))
    finer = FINER in request.app[CONTEXT].opening.roles
    text = _PAGE.render(words=said, words_json=json.dumps(said, ensure_ascii=False), finer=finer)
    return web.Response(
        text=text,
        content_type="text/html",
        headers={"Vary": "Accept-Language", "Content-Language": said["lang"]},
    )


async def file(request: web.Request) -> web.Response:
    """One of the page's files; only those that stand in its directory have an address."""
    found = _FILES.get(request.match_info["name"])
    if found is None:
        raise web.HTTPNotFound
    body, kind = found
    return web.Response(body=body, content_type=kind, charset="utf-8", headers={"Cache-Control": "no-cache"})


async def no_icon(_: web.Request) -> web.Response:
    """Browsers that ask for an icon of their own accord find the page's."""
    raise web.HTTPFound("/page/icon.svg")


def add_routes(app: web.Application) -> None:
    """Let `app` serve the page."""
    app.router.add_get("/", show)
    app.router.add_get("/page/{name}", file)
    app.router.add_get("/favicon.ico", no_icon)


_FILES = {
    each.name: (each.read_bytes(), _TYPES[each.suffix])
    for each in DIRECTORY.iterdir()
    if each.suffix in _TYPES
}

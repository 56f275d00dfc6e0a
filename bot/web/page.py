"""GET /: the page with the two boxes, in the browser's language, and its files."""

from __future__ import annotations

import json
from pathlib import Path

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bot.web.context import CONTEXT, reader_language
from config.strings import Strings

FEELINGS = "feelings"  # the role behind the button for finer feelings, where there is such a role
COMMON_STRINGS = (
    "language_tag",
    "confidence",
    "omitted",
    "stopped",
    "again",
)  # beside those that begin with `page_`
DIRECTORY = Path(__file__).parent / "page"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_PAGE = Environment(
    loader=FileSystemLoader(DIRECTORY), autoescape=True, undefined=StrictUndefined
).get_template("index.html")


async def show(request: web.Request) -> web.Response:
    """The page."""
    context = request.app[CONTEXT]
    found = page_strings(Strings(reader_language(request), context.strings))
    text = _PAGE.render(
        strings=found,
        strings_json=json.dumps(found, ensure_ascii=False),
        feelings=FEELINGS in context.opening.roles,
    )
    return web.Response(
        text=text,
        content_type="text/html",
        headers={
            "Vary": "Accept-Language",
            "Content-Language": found["language_tag"],
            "Cache-Control": "no-cache",  # with no-store browsers forget on Back and reload what was typed
        },
    )


def page_strings(strings: Strings) -> dict[str, str]:
    """Every string of the page by key, with its {names}, which the page fills in."""
    return strings.starting_with("page_") | {key: strings(key) for key in COMMON_STRINGS}


async def file(request: web.Request) -> web.Response:
    """One of the page's files; only those in its directory have an address."""
    found = _FILES.get(request.match_info["name"])
    if found is None:
        raise web.HTTPNotFound
    body, content_type = found
    return web.Response(
        body=body, content_type=content_type, charset="utf-8", headers={"Cache-Control": "no-cache"}
    )


async def icon(_: web.Request) -> web.Response:
    """Browsers that ask for /favicon.ico of their own accord find the page's icon."""
    raise web.HTTPFound("/page/icon.svg")


def add_routes(app: web.Application) -> None:
    """Let `app` serve the page."""
    app.router.add_get("/", show)
    app.router.add_get("/page/{name}", file)
    app.router.add_get("/favicon.ico", icon)


_FILES = {
    each.name: (each.read_bytes(), _TYPES[each.suffix])
    for each in DIRECTORY.iterdir()
    if each.suffix in _TYPES
}

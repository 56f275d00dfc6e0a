"""What the page asks of the server: what one person sees, what changes, and what that person does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bot.markdown_html import render
from bot.sandbox.driver import Driver
from bot.sandbox.errors import SlackError
from bot.sandbox.guard import HEADERS
from bot.sandbox.workspace import BOT_USER_ID, Change, Channel, Json
from config.strings import Strings, language_of_header

PAGE = Path(__file__).parent / "page"
COMMON_STRINGS = ("language_tag", "page_no_script")  # beside those that begin with `sandbox_`
KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
HEARTBEAT_SECONDS = 15.0
_INDEX = Environment(loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined).get_template(
    "index.html"
)

# What a person can do, and the arguments each takes beside the user.
ACTIONS: dict[str, tuple[Callable[..., Awaitable[Any]], tuple[str, ...]]] = {
    "post": (Driver.post, ("channel", "text", "thread_ts")),
    "edit": (Driver.edit, ("channel", "ts", "text")),
    "delete": (Driver.delete, ("channel", "ts")),
    "react": (Driver.react, ("channel", "ts", "emoji")),
    "join": (Driver.join, ("channel",)),
    "command": (Driver.command, ("channel", "command", "text")),
    "shortcut": (Driver.shortcut, ("callback_id", "channel", "ts")),
    "press": (Driver.press, ("channel", "ts", "action_id", "value")),
    "press_view": (Driver.press_view, ("view_id", "action_id", "value")),
    "submit": (Driver.submit, ("view_id", "values")),
    "close_view": (Driver.close_view, ("view_id",)),
    "open_home": (Driver.open_home, ("tab",)),
    "open_assistant": (Driver.open_assistant, ("viewed_channel",)),
    "look_at": (Driver.look_at, ("thread_ts", "channel")),
}


def add_routes(app: web.Application, driver: Driver) -> None:
    """The page's files, its state, its stream of changes and its actions."""

    async def state(request: web.Request) -> web.StreamResponse:
        return web.json_response(view_of(driver, _user(driver, request)))

    async def stream(request: web.Request) -> web.StreamResponse:
        return await _stream(request, driver, _user(driver, request))

    async def act(request: web.Request) -> web.StreamResponse:
        # A JSON content type cannot be sent across sites without the browser asking first.
        if request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType(text="send application/json")
        return await _act(request, driver)

    app.router.add_get("/people/state", state)
    app.router.add_get("/people/stream", stream)
    app.router.add_post("/people/{action}", act)
    app.router.add_get("/", _show)
    app.router.add_get("/page/{name}", _file)


async def _show(request: web.Request) -> web.StreamResponse:
    strings = Strings(language_of_header(request.headers.get("Accept-Language", "")))
    found = page_strings(strings)
    text = _INDEX.render(strings=found, strings_json=json.dumps(found, ensure_ascii=False))
    return web.Response(
        text=text, content_type="text/html", headers={"Content-Language": found["language_tag"]}
    )


def page_strings(strings: Strings) -> dict[str, str]:
    """Every string of the page by key, with its {names}, which the page fills in."""
    return strings.starting_with("sandbox_") | {key: strings(key) for key in COMMON_STRINGS}


async def _file(request: web.Request) -> web.StreamResponse:
    path = PAGE / request.match_info["name"]
    if path.parent != PAGE or path.suffix not in KINDS or not path.is_file():
        raise web.HTTPNotFound(text="no such page")
    text = path.read_text(encoding="utf-8")
    return web.Response(text=text, content_type=KINDS[path.suffix])


def _user(driver: Driver, request: web.Request) -> str:
    try:
        return driver.workspace.user(request.query.get("user", "Ada")).id
    except SlackError:
        raise web.HTTPBadRequest(text="no such user") from None


async def _act(request: web.Request, driver: Driver) -> web.StreamResponse:
    name = request.match_info["action"]
    try:
        body = await request.json()
        if name == "invite":
            await driver.join(BOT_USER_ID, str(body["channel"]), str(body["user"]))
            return web.json_response({"ok": True})
        act, wanted = ACTIONS[name]
        arguments = {key: body[key] for key in wanted if body.get(key) is not None}
        result = await act(driver, str(body["user"]), **arguments)
    except (KeyError, TypeError, ValueError) as problem:
        return web.json_response(
            {"ok": False, "error": "invalid_arguments", "detail": str(problem)}, status=400
        )
    except SlackError as problem:
        return web.json_response(problem.answer(), status=400)
    return web.json_response({"ok": True, "result": result})


def sees(channel: Channel, user: str) -> bool:
    """Whether a person can open a channel: any public one, and those one is in."""
    return channel.kind == "channel" or user in channel.members


def view_of(driver: Driver, user: str) -> Json:
    """Everything that one person sees."""
    workspace, app = driver.workspace, driver.context.app
    mine = {c.id: c for c in workspace.channels.values() if sees(c, user)}
    return {
        "you": user,
        "bot": BOT_USER_ID,
        "app": {
            "name": app.name,
            "home": app.home_tab,
            "messages": app.messages_tab,
            "assistant": app.assistant,
            "connected": bool(driver.context.sockets.connections),
            "commands": [vars(command) for command in app.commands or ()],
            "shortcuts": [{"callback_id": c, "name": n} for c, n in app.shortcuts],
        },
        "users": [vars(u) for u in workspace.users.values()],
        "channels": [
            {
                "id": c.id,
                "name": c.name,
                "user": c.user,
                "direct": c.is_im or c.is_mpim,
                "topic": c.topic,
                "members": sorted(c.members),
                "messages": [with_html(m) for m in c.messages.values()],
            }
            for c in mine.values()
        ],
        "ephemerals": [
            {"channel": e.channel, "message": with_html(e.message)}
            for e in workspace.ephemerals
            if e.user == user
        ],
        "statuses": [
            {"channel": c, "thread_ts": ts, "status": text}
            for (c, ts), (text, _) in workspace.statuses.items()
            if c in mine
        ],
        "panes": [
            {"channel": c, "thread_ts": ts, **vars(pane)}
            for (c, ts), pane in workspace.panes.items()
            if pane.user == user
        ],
        "home": workspace.homes.get(user),
        "modal": workspace.modal(user),
    }


def with_html(found: Json) -> Json:
    """A message or view with `html` beside the text of its markdown blocks; the original is left alone."""
    blocks = found.get("blocks") or []
    if not any(block.get("type") == "markdown" for block in blocks):
        return found
    shown = [
        {**block, "html": render(block["text"], cjk=False)} if block.get("type") == "markdown" else block
        for block in blocks
    ]
    return {**found, "blocks": shown}


async def _stream(request: web.Request, driver: Driver, user: str) -> web.StreamResponse:
    """Server-sent events: one for each change that this person can see."""
    workspace = driver.workspace
    queue: asyncio.Queue[str | None] = asyncio.Queue()

    def heard(change: Change) -> None:
        if change.kind == "stopped":
            queue.put_nowait(None)
            return
        channel = workspace.channels.get(change.channel)
        if change.user not in ("", user) or (channel is not None and not sees(channel, user)):
            return
        # The text is made now: the message may have changed again before it is sent.
        data = with_html(change.data) if change.kind == "message" else change.data
        queue.put_nowait(json.dumps({"kind": change.kind, "channel": change.channel, "data": data}))

    response = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream"})
    await response.prepare(request)
    unsubscribe = workspace.subscribe(heard)
    try:
        await response.write(b"retry: 1000\n\n")
        while True:
            try:
                text = await asyncio.wait_for(queue.get(), HEARTBEAT_SECONDS)
            except asyncio.TimeoutError:
                await response.write(b": still here\n\n")
                continue
            if text is None:
                return response
            await response.write(f"data: {text}\n\n".encode())
    except ConnectionError:
        return response  # the page was closed
    finally:
        unsubscribe()

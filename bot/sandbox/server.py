"""The HTTP server of the sandbox: Web API, socket endpoint, response URLs, files and the page."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from bot.sandbox import interactive, page_api
from bot.sandbox.arguments import MAX_BODY, Arguments, bearer, read_arguments
from bot.sandbox.context import Call, Context
from bot.sandbox.driver import Driver
from bot.sandbox.errors import SlackError
from bot.sandbox.faults import Fault, Faults
from bot.sandbox.guard import guard
from bot.sandbox.links import Links
from bot.sandbox.manifest import App, read_app
from bot.sandbox.methods import METHODS, call
from bot.sandbox.methods.files import kind_of, receive
from bot.sandbox.methods.streams import finish
from bot.sandbox.socket import Sockets
from bot.sandbox.workspace import BOT_USER_ID, TEAM_ID, Json, Workspace
from config.settings import LOOPBACK


class Sandbox(Driver):
    """A Slack workspace on localhost, for one app. What people do are the methods of Driver.

    host: a loopback address. port: 0 takes a free one. manifest: the app's manifest, as a file, its
    content or an App; by default the one that ships. All state is in memory and gone after `stop`.
    Raises ValueError for a host that others could reach.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        manifest: Path | dict[str, Any] | App | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if host not in LOOPBACK:
            raise ValueError(f"the sandbox has no passwords and only listens on 127.0.0.1, not on {host}")
        self.host, self.port = host, port
        app, faults = read_app(manifest), Faults()
        super().__init__(
            Context(
                Workspace(app.name, clock),
                app,
                faults,
                Sockets(faults),
                Links(),
                bot_token=f"xoxb-sandbox-{secrets.token_hex(12)}",
                app_token=f"xapp-1-sandbox-{secrets.token_hex(12)}",
            )
        )
        self.faults = faults
        self.sockets = self.context.sockets
        self.sockets.changed = lambda: self.workspace.changed(
            "connected", data={"connected": bool(self.sockets.connections)}
        )
        self.bot_token, self.app_token = self.context.bot_token, self.context.app_token
        self.bot_user_id, self.team_id = BOT_USER_ID, TEAM_ID
        self.users = {u.real_name: u.id for u in self.workspace.users.values() if not u.is_bot}
        self.channels = {c.name: c.id for c in self.workspace.channels.values() if not c.is_im}
        self._runner: web.AppRunner | None = None

    # --- running ---

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        app = web.Application(client_max_size=MAX_BODY, middlewares=[guard(lambda: self.port)])
        app.router.add_route("*", "/api/{method:.*}", self._api)
        app.router.add_get("/link/", self.sockets.accept)
        app.router.add_post("/response/{name}", self._response)
        app.router.add_post("/upload/{name}", self._upload)
        app.router.add_get("/files/{name}", self._file_bytes)
        page_api.add_routes(app, self)
        self._runner = web.AppRunner(app, shutdown_timeout=1.0, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        shown = f"[{self.host}]" if ":" in self.host else self.host
        self.context.base_url = f"http://{shown}:{self.port}"

    async def stop(self) -> None:
        """Close every connection and stop listening."""
        self.workspace.changed("stopped")
        for task in list(self.context.tasks):
            task.cancel()
        await asyncio.gather(*self.context.tasks, return_exceptions=True)
        await self.sockets.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Sandbox:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def api_url(self) -> str:
        """What the app's base_url must be."""
        return f"{self.context.base_url}/api/"

    @property
    def page_url(self) -> str:
        """Where a person looks at the workspace."""
        return f"{self.context.base_url}/"

    # --- looking at the state ---

    @property
    def calls(self) -> list[Call]:
        """The app's latest Web API calls, oldest first."""
        return list(self.context.calls)

    @property
    def lost(self) -> list[Json]:
        """The payloads of events that were never acknowledged, after the last redelivery."""
        return self.context.lost

    def dm(self, user: str) -> str:
        """The id of the direct message between `user` and the bot."""
        return self.workspace.open_im(self.workspace.user(user).id).id

    def messages(self, channel: str, thread_ts: str | None = None) -> list[Json]:
        """The messages that stand in a channel, or a thread with its parent; oldest first."""
        found = self.workspace.channel(channel)
        if thread_ts is not None:
            return self.workspace.thread(found, thread_ts)
        return list(self.workspace.top_level(found))

    def ephemerals(self, user: str, channel: str) -> list[Json]:
        """What only `user` sees in a channel; oldest first."""
        who, where = self.workspace.user(user).id, self.workspace.channel(channel).id
        return [e.message for e in self.workspace.ephemerals if (e.user, e.channel) == (who, where)]

    def home(self, user: str) -> Json | None:
        """The view on a person's Home tab."""
        return self.workspace.homes.get(self.workspace.user(user).id)

    def modal(self, user: str) -> Json | None:
        """The modal that a person sees, the newest one."""
        return self.workspace.modal(self.workspace.user(user).id)

    def status(self, channel: str, thread_ts: str) -> str:
        """The status line of a thread, "" when there is none."""
        return self.workspace.statuses.get((self.workspace.channel(channel).id, thread_ts), ("", 0.0))[0]

    async def wait_for(self, predicate: Callable[[], Any], timeout: float = 300.0) -> Any:
        """The first true value of `predicate`, tried at each change. Raises TimeoutError."""
        return await self.workspace.wait_for(predicate, timeout)

    async def expire_streams(self) -> None:
        """End every message that is being written, as Slack does when nothing comes for too long."""
        for channel_id, ts in list(self.workspace.streams):
            channel = self.workspace.channel(channel_id)
            finish(self.context, channel, self.workspace.message(channel, ts), [])

    # --- HTTP ---

    async def _api(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["method"]
        fault = self.faults.take(name)
        given: dict[str, Any] = {}
        if fault is not None:
            await self.faults.pause(fault.delay)
            if not fault.after:
                return await self._faulty(request, fault)
        try:
            given = await read_arguments(request)
            answer = {"ok": True, **call(self.context, name, bearer(request, given), Arguments(given))}
        except SlackError as problem:
            answer = problem.answer()
        given.pop("token", None)
        self.context.calls.append(Call(name, given, answer, self.workspace.clock()))
        if fault is not None:
            return await self._faulty(request, fault)
        headers = {"x-slack-req-id": secrets.token_hex(16)}
        if answer.get("error") not in ("not_authed", "invalid_auth"):
            headers["x-oauth-scopes"] = ",".join(self.context.app.scopes)
            if name in METHODS:
                headers["x-accepted-oauth-scopes"] = ",".join(METHODS[name].scopes)
        return web.json_response(answer, headers=headers)

    async def _faulty(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        if fault.hang:
            await self.faults.pause(fault.hang)
            if request.transport is not None:
                request.transport.abort()
        if fault.error:
            return web.json_response({"ok": False, "error": fault.error}, status=fault.status)
        if fault.status == 429:
            limited = {"ok": False, "error": "ratelimited"}
            return web.json_response(limited, status=429, headers={"Retry-After": str(fault.retry_after)})
        return web.Response(status=fault.status, text="an error on purpose", content_type="text/html")

    async def _response(self, request: web.Request) -> web.StreamResponse:
        fault = self.faults.take("response_url")
        if fault is not None:
            await self.faults.pause(fault.delay)
            return await self._faulty(request, fault)
        try:
            body = await request.json()
            if not isinstance(body, dict):
                raise SlackError("invalid_payload")
            interactive.answer_link(self.context, request.match_info["name"], body)
        except ValueError:
            return web.Response(status=400, text="invalid_payload")
        except SlackError as problem:
            if problem.code in ("used_url", "expired_url"):
                return web.json_response({"ok": False, "error": problem.code}, status=404)
            return web.Response(status=400, text=problem.code)
        return web.Response(text="ok")

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        try:
            length = receive(self.context, request.match_info["name"], await request.read())
        except SlackError as problem:
            return web.Response(status=400, text=problem.code)
        return web.Response(text=f"OK - {length}")

    async def _file_bytes(self, request: web.Request) -> web.StreamResponse:
        stored = self.workspace.files.get(request.match_info["name"])
        if stored is None or stored.data is None:
            raise web.HTTPNotFound(text="no such file")
        kind = kind_of(stored.name)
        return web.Response(body=stored.data, content_type=kind)

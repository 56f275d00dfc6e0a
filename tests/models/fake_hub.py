"""A model hub on localhost, as far as the hub's own client speaks with it to fetch files."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

REVISION = "4d14e384a4b037942bb3f3016665157c8bcb70ea"
LARGE = ("model.safetensors", "pytorch_model.bin")  # kept outside git, named by their sha256


@dataclass
class Hub:
    """The files of one model, what was asked of them, and how they are spoiled on the way."""

    files: Path
    url: str = ""
    heads: list[str] = field(default_factory=list)
    gets: list[tuple[str, str]] = field(default_factory=list)  # file, Range header
    spoilt: set[str] = field(default_factory=set)  # sent with one byte changed
    stalled: asyncio.Event | None = None  # weights stop half way until it is set

    def checksum(self, name: str) -> str:
        """What the hub names a file by: sha256, or the git blob's sha1."""
        content = (self.files / name).read_bytes()
        if name in LARGE:
            return hashlib.sha256(content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    def _elsewhere(self, name: str) -> str:
        """Large files are on another host, which the client does not follow to with a HEAD."""
        return f"{self.url.replace('127.0.0.1', 'localhost')}/large/{name}"

    async def head(self, request: web.Request) -> web.StreamResponse:
        """HEAD /REPOSITORY/resolve/REVISION/FILE: the commit, size and sum; large files are elsewhere."""
        name = request.match_info["name"]
        self.heads.append(name)
        if not (self.files / name).is_file():
            raise web.HTTPNotFound(headers={"X-Error-Code": "EntryNotFound"})
        about = {"X-Repo-Commit": REVISION, "ETag": f'"{self.checksum(name)}"'}
        size = str((self.files / name).stat().st_size)
        if name in LARGE:
            about |= {"X-Linked-Etag": about.pop("ETag"), "X-Linked-Size": size}
            return web.Response(status=302, headers={**about, "Location": self._elsewhere(name)})
        return web.Response(headers={**about, "Content-Length": size})

    async def get(self, request: web.Request) -> web.StreamResponse:
        """GET of the same address, or of where it points to: the content, from the Range on."""
        name = request.match_info["name"]
        if name in LARGE and "resolve" in request.path:
            raise web.HTTPFound(self._elsewhere(name))
        content = bytearray((self.files / name).read_bytes())
        if name in self.spoilt:
            content[len(content) // 3] ^= 1
        asked = request.headers.get("Range", "")
        self.gets.append((name, asked))
        start = int(asked.removeprefix("bytes=").rstrip("-") or 0)
        response = web.StreamResponse(status=206 if asked else 200)
        response.content_length = len(content) - start
        if asked:
            response.headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        await response.prepare(request)
        if self.stalled is not None and name in LARGE:
            half = len(content) * 2 // 3
            await response.write(bytes(content[start:half]))
            await self.stalled.wait()
            start = half
        await response.write(bytes(content[start:]))
        return response


@asynccontextmanager
async def serve_hub(files: Path, repository: str) -> AsyncIterator[Hub]:
    """The hub with `repository`, on a free port."""
    hub = Hub(files)
    app = web.Application()
    for revision in ("main", REVISION):
        path = f"/{repository}/resolve/{revision}/{{name}}"
        app.router.add_route("HEAD", path, hub.head)
        app.router.add_route("GET", path, hub.get)
    app.router.add_route("GET", "/large/{name}", hub.get)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    hub.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield hub
    finally:
        await runner.cleanup()

"""A server in OpenAI's shape, whose log-probabilities and failures a test can choose.

No server that tells log-probabilities can be installed for a test as light as this one; another of
these bots, which tells none, is used for the rest.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Top = dict[str, float]


@dataclass
class Server:
    """What it answers. `tops` are keyed by the assistant's text so far; `status` refuses with `said`."""

    tops: dict[str, Top] = field(default_factory=dict)
    raw_bytes: bool = False  # tokens are told as bytes too, as text that no JSON can hold
    odd: list[str] = field(default_factory=list)  # bodies of the next replies that do not stream
    deltas: list[dict[str, Any]] = field(default_factory=list)  # streamed in place of `words`
    events: list[Any] = field(default_factory=list)  # streamed before either
    words: list[str] = field(default_factory=lambda: ["正", "面"])
    status: int = 200
    said: str = "no"
    headers: dict[str, str] = field(default_factory=dict)
    knows: tuple[str, ...] = ("top_k", "repetition_penalty", "logprobs")
    finish_reason: str = "stop"
    breaks: str = ""  # what the stream ends with instead of [DONE]
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    url: str = ""

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "far", "max_model_len": 999}, {"id": "other"}]})

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        self.keys.append(request.headers.get("Authorization", ""))
        if self.status != 200:
            return web.json_response(
                {"error": {"message": self.said}}, status=self.status, headers=self.headers
            )
        for name in ("top_k", "repetition_penalty", "logprobs"):
            if name in body and name not in self.knows:
                return web.json_response({"error": {"message": f"unknown {name}"}}, status=400)
        if body.get("stream"):
            return await self._stream(request)
        if self.odd:
            return web.Response(text=self.odd.pop(0), content_type="application/json")
        last = body["messages"][-1]
        top = self.tops.get(last["content"] if last["role"] == "assistant" else "", {})
        entries = [
            {"token": token, "logprob": value, "bytes": list(token.encode()) if self.raw_bytes else None}
            for token, value in top.items()
        ]
        content = [{"token": "x", "logprob": -1.0, "top_logprobs": entries}] if top else None
        return web.json_response({"choices": [{"message": {}, "logprobs": {"content": content}}]})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        deltas = self.deltas or [{"content": word} for word in self.words]
        for sent in (*self.events, *({"choices": [{"delta": delta}]} for delta in deltas)):
            event = json.dumps(sent, ensure_ascii=False).encode()
            for at in range(0, len(event), 5):  # however the network cuts it
                await answer.write((b"data: " if at == 0 else b"") + event[at : at + 5])
            await answer.write(b"\r\n\r\n: comment\n\n")
        if not self.breaks:
            last = {"choices": [{"delta": {}, "finish_reason": self.finish_reason}]}
            await answer.write(b"data: " + json.dumps(last).encode() + b"\n\n")
        await answer.write(b"data: " + (self.breaks or "[DONE]").encode() + b"\n\n")
        return answer


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[Server]:
    """Let it listen on a free port."""
    app = web.Application()
    app.router.add_get("/v1/models", server.models)
    app.router.add_post("/v1/chat/completions", server.complete)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield server
    await runner.cleanup()

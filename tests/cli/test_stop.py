"""A stop in the middle of answers: each client is told, the text so far stays, the process ends in time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from bot_command import Process, running
from patience import PATIENCE, wait_until

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "tell me a story"}]}
STREAMED = {"Accept": "text/event-stream"}
# What waits for an answer that never comes: path, body, headers.
WAITING: dict[str, tuple[str, dict[str, Any], dict[str, str]]] = {
    "page": ("/api/infer", {"text": "#CHAT#tell me a story"}, STREAMED),
    "completion streamed": ("/v1/chat/completions", CHAT | {"stream": True}, {}),
    "completion": ("/v1/chat/completions", CHAT, {}),
    "reply": ("/api/infer", {"text": "#CHAT#tell me a story"}, {}),
    "emotion": ("/api/infer", {"text": "#EMOTION#what a story"}, {}),
    "reason": ("/api/infer", {"text": "#EMOTION#what a story", "explain": True}, {}),
    "lines": ("/api/lines", {"lines": ["what a story", "and what an end"]}, STREAMED),
}


@dataclass
class EndlessServer:
    """A model's server (LLM_URL) that begins every answer and finishes none."""

    asked: int = 0
    url: str = ""
    begun: str = "<think></think>Once upon a time"  # so that the bot need not wait for thoughts without a tag

    async def models(self, _: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "endless"}]})

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        if body.get("stream"):
            await answer.prepare(request)
            piece = json.dumps({"choices": [{"delta": {"content": self.begun}}]})
            await answer.write(f"data: {piece}\n\n".encode())
        self.asked += 1
        await asyncio.Event().wait()
        return answer


@asynccontextmanager
async def serving(server: EndlessServer) -> AsyncIterator[EndlessServer]:
    """Let it listen on a free port."""
    app = web.Application()
    app.router.add_get("/v1/models", server.models)
    app.router.add_post("/v1/chat/completions", server.complete)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield server
    await runner.cleanup()


@asynccontextmanager
async def started(directory: Path, *arguments: str, **more: str) -> AsyncIterator[Process]:
    """A bot in a process of its own, while this event loop turns."""
    bot = running(directory, *arguments, "--port", "0", **more)
    process = await asyncio.to_thread(bot.__enter__)
    try:
        yield process
    finally:
        await asyncio.to_thread(bot.__exit__, None, None, None)


@dataclass
class Answer:
    """All that a client got."""

    status: int
    headers: Any
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def events(self) -> list[str]:
        """The data of its events."""
        return [line.removeprefix("data: ") for line in self.text.splitlines() if line.startswith("data: ")]


@dataclass
class Ended:
    """A bot that was stopped while everything of `WAITING` waited, and half a body had arrived."""

    code: int
    answers: dict[str, Answer] = field(default_factory=dict)
    half_sent: str = ""


async def post(http: aiohttp.ClientSession, url: str, body: Any, headers: dict[str, str]) -> Answer:
    """The whole answer. Raises aiohttp's error where it is cut."""
    async with http.post(url, json=body, headers=headers) as answer:
        return Answer(answer.status, answer.headers, await answer.text())


@pytest.fixture(scope="module")
async def ended(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ended]:
    """One stop, whose outcomes the tests look at."""
    async with (
        serving(EndlessServer()) as server,
        started(tmp_path_factory.mktemp("stop"), LLM_URL=server.url) as process,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE)) as http,
    ):
        asking = {
            name: asyncio.create_task(post(http, process.url + path, body, headers))
            for name, (path, body, headers) in WAITING.items()
        }
        host, _, port = process.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"POST /api/infer HTTP/1.1\r\nHost: {host}\r\nContent-Length: 99\r\n\r\n{{".encode())
        await wait_until(lambda: server.asked >= len(WAITING))
        assert not any(task.done() for task in asking.values())
        code = await asyncio.to_thread(process.stop, seconds=PATIENCE)
        answers = {name: await task for name, task in asking.items()}
        yield Ended(code, answers, (await reader.read()).decode())
        writer.close()


async def test_it_ends_well_which_is_within_its_time(ended: Ended) -> None:
    assert ended.code == 0  # a bot that takes longer than it may ends with 1


async def test_the_pages_reply_keeps_its_text_and_says_that_the_bot_stops(ended: Ended) -> None:
    answer = ended.answers["page"]
    last = json.loads(answer.events[-1])
    assert answer.text.split("event: ")[-1].startswith("error\n")
    assert last["error"]["code"] == "stopping"
    assert last["html"] == "<p>Once upon a time</p>\n"


async def test_a_streamed_completion_keeps_its_text_and_says_that_the_bot_stops(ended: Ended) -> None:
    *pieces, last = map(json.loads, ended.answers["completion streamed"].events)
    assert "".join(piece["choices"][0]["delta"].get("content", "") for piece in pieces) == "Once upon a time"
    assert last["error"]["code"] == "stopping"
    assert last["error"]["type"] == "server_error"


async def test_lines_end_with_the_error_that_says_so(ended: Ended) -> None:
    answer = ended.answers["lines"]
    assert json.loads(answer.events[-1])["error"]["code"] == "stopping"


@pytest.mark.parametrize("name", ["completion", "reply", "emotion", "reason"])
async def test_what_does_not_stream_is_refused_for_now_in_the_apis_shape(ended: Ended, name: str) -> None:
    answer = ended.answers[name]
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json["error"]["code"] == "stopping"
    assert "stopping" in answer.json["error"]["message"]
    assert ("type" in answer.json["error"]) == (name == "completion")


async def test_who_was_still_sending_is_told_so(ended: Ended) -> None:
    assert ended.half_sent.startswith("HTTP/1.1 503 ")
    assert '"code":"stopping"' in ended.half_sent


@pytest.mark.model
async def test_the_models_own_streams_are_finished_or_told(
    model_dir: Path, hub_dir: Path, tmp_path: Path
) -> None:
    eos = json.loads((hub_dir / "generation_config.json").read_text(encoding="utf-8"))["eos_token_id"]
    endless = {"logit_bias": {str(token): -100 for token in eos}, "max_tokens": -1, "stream": True}
    async with (
        started(tmp_path, "--model_dir", str(model_dir)) as process,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE)) as http,
        http.post(f"{process.url}/v1/chat/completions", json=CHAT | endless) as answer,
    ):
        begun = await answer.content.readuntil(b"\n\n")
        code = await asyncio.to_thread(process.stop, seconds=PATIENCE)
        whole = (begun + await answer.content.read()).decode()
    assert code == 0
    assert len(whole.split("data: ")) > 3
    last = whole.split("data: ")[-1]
    assert '"code":"stopping"' in last or last == "[DONE]\n\n"
    assert "Traceback" not in "".join(process.errors)

"""The real web application over a real socket, with an engine whose answers and pace a test chooses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp

from bot.app.services import Services
from bot.conversation import Conversations
from bot.emotion import EmotionClassifier
from bot.engine import CutOff, Engine, EngineError, Prompt, Sampling
from bot.roles import Role
from bot.storage import Storage
from bot.web.app import build_web, serve
from bot.web.context import CONTEXT, Context, Opening
from config.settings import Settings
from config.strings import STRINGS_DIRECTORY


@dataclass
class ScriptedEngine:
    """An engine that answers what the test gives it: no model writes `<script>` or fails on demand.

    `score` prefers the negative labels for a text with `-`, else the others; a token is one word.
    """

    answers: list[str] = field(default_factory=list)
    prompts: list[Prompt] = field(default_factory=list)
    samplings: list[Sampling] = field(default_factory=list)
    problem: Exception | None = None  # raised before the first piece
    broken_after: int | None = None  # pieces, then an EngineError
    begin: asyncio.Event | None = None  # the first piece waits for it
    gate: asyncio.Event | None = None  # the second piece waits for it
    closed: int = 0  # answers that were given up
    name: str = "scripted"
    context_tokens: int = 2048

    async def score(self, prompt: Prompt, labels: Sequence[str], *, exact: bool = True) -> list[float]:
        if self.problem is not None:
            raise self.problem
        negative = "-" in prompt.messages[-1].content
        return [-0.1 if ("负" in label) == negative else -3.0 for label in labels]

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[str]:
        self.prompts.append(prompt)
        self.samplings.append(sampling)
        if self.problem is not None:
            raise self.problem
        answer = self.answers.pop(0) if self.answers else f"You said {prompt.messages[-1].content}"
        words = answer.split(" ")[: sampling.max_tokens]
        finished = False
        try:
            if self.begin is not None:
                await self.begin.wait()
            for at, word in enumerate(words):
                if at == self.broken_after:
                    raise EngineError("broken on purpose")
                if at and self.gate is not None:
                    await self.gate.wait()
                yield word if at == 0 else f" {word}"
            if len(words) == sampling.max_tokens:
                yield CutOff()
            finished = True
        finally:
            self.closed += not finished

    def count(self, prompt: Prompt) -> int:
        return sum(3 + len(message.content.split()) for message in prompt.messages)

    async def forget(self, session: str | None = None) -> None:
        """Nothing is kept."""

    async def close(self) -> None:
        """Nothing is open."""


@dataclass
class Site:
    """One running page and API."""

    url: str
    engine: Any
    opening: Opening
    parts: dict[str, bool]
    http: aiohttp.ClientSession
    context: Context

    async def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any, aiohttp.ClientResponse]:
        """Status, JSON and answer of a JSON request."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.post(self.url + path, json=body, headers=named) as answer:
            return answer.status, await answer.json(), answer

    async def infer(self, text: str, **rest: Any) -> tuple[int, Any]:
        """Status and JSON of `/api/infer`."""
        status, found, _ = await self.post("/api/infer", {"text": text, **rest})
        return status, found


@asynccontextmanager
async def open_site(
    directory: Path,
    engine: Engine,
    roles: dict[str, Role],
    *,
    loaded: bool = True,
    strings: Path = STRINGS_DIRECTORY,
    **settings: Any,
) -> AsyncIterator[Site]:
    """A site over `engine` on a free port, its database in `directory`, its page's strings in `strings`."""
    chosen = replace(
        Settings(), port=0, database_url=f"sqlite+aiosqlite:///{directory}/web.sqlite3", **settings
    )
    storage = await Storage.open(chosen.database_url)
    opening, parts = Opening(chosen, roles=roles), {"model": loaded, "storage": True, "slack": True}
    if loaded:
        opening.services = Services(
            settings=chosen,
            roles=roles,
            engine=engine,
            classifier=EmotionClassifier(engine, roles),
            conversations=Conversations(engine, roles, storage, chosen),
            storage=storage,
        )
    app = build_web(opening, lambda: parts, strings=strings)
    runner, port = await serve(app, chosen)
    try:
        async with aiohttp.ClientSession() as http:
            yield Site(f"http://127.0.0.1:{port}", engine, opening, parts, http, app[CONTEXT])
    finally:
        await runner.cleanup()
        await storage.close()

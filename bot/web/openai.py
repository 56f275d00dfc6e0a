"""POST /v1/chat/completions and GET /v1/models, in the shapes that OpenAI's clients read."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from aiohttp import web

from bot.engine import Engine, PromptTooLong, Sampling
from bot.metrics import Watched
from bot.web.answers import json_answer
from bot.web.context import CONTEXT
from bot.web.counting import count_text
from bot.web.errors import Refused, refusal, watching
from bot.web.events import Events
from bot.web.openai_request import Completion, read_completion
from bot.web.reading import read_object

_STARTED = int(time.time())


async def models(request: web.Request) -> web.Response:
    """The one model."""
    engine = request.app[CONTEXT].services.engine
    return json_answer({"object": "list", "data": [_model(engine)]})


async def model(request: web.Request) -> web.Response:
    """One model by name."""
    engine = request.app[CONTEXT].services.engine
    _check_model(engine, request.match_info["name"])
    return json_answer(_model(engine))


async def complete(request: web.Request) -> web.StreamResponse:
    """Answer a conversation, at once or streamed."""
    engine = request.app[CONTEXT].services.engine
    asked = read_completion(await read_object(request))
    _check_model(engine, asked.model)
    with watching("openai") as watched:
        answer = Answer(engine, asked, watched)
        if asked.stream:
            return await _stream(request, answer, asked.usage)
        content = "".join([piece async for piece in answer.pieces()])
    message = {"role": "assistant", "content": content, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": answer.finish_reason, "logprobs": None}
    return json_answer({**answer.head("chat.completion"), "choices": [choice], "usage": answer.usage()})


class Answer:
    """One completion on its way, with what its client is told beside the text."""

    def __init__(self, engine: Engine, asked: Completion, watched: Watched) -> None:
        self._engine, self._asked, self._watched = engine, asked, watched
        self._id, self._created = f"chatcmpl-{secrets.token_hex(12)}", int(time.time())
        self._prompt_tokens = engine.count(asked.prompt)
        room = engine.context_tokens - self._prompt_tokens
        if room < 1:
            raise PromptTooLong(self._prompt_tokens, engine.context_tokens - 1)
        self._limit = min(asked.limit or room, room)
        self._text = ""

    async def pieces(self) -> AsyncIterator[str]:
        """The text as it is decoded."""
        sampling: Sampling = replace(self._asked.sampling, max_tokens=self._limit)
        stream = self._engine.stream(self._asked.prompt, sampling)
        async with aclosing(stream) as pieces:  # type: ignore[type-var]  # every engine's is a generator
            async for piece in pieces:
                self._watched.spoke()
                self._text += piece
                yield piece
        self._watched.tokens(self._prompt_tokens, self.completion_tokens)

    @property
    def completion_tokens(self) -> int:
        """How many tokens the text has; the one that ended the turn is not counted."""
        return count_text(self._engine, self._text)

    @property
    def finish_reason(self) -> str:
        """`length` where the limit cut the answer off, else `stop`."""
        return "length" if self.completion_tokens >= self._limit else "stop"

    def usage(self) -> dict[str, int]:
        """Token counts."""
        written = self.completion_tokens
        return {
            "prompt_tokens": self._prompt_tokens,
            "completion_tokens": written,
            "total_tokens": self._prompt_tokens + written,
        }

    def head(self, kind: str) -> dict[str, Any]:
        """What every object of this answer begins with."""
        return {"id": self._id, "object": kind, "created": self._created, "model": self._engine.name}


async def _stream(request: web.Request, answer: Answer, with_usage: bool) -> web.StreamResponse:
    events = Events(request)
    head = answer.head("chat.completion.chunk") | ({"usage": None} if with_usage else {})

    async def send(delta: dict[str, str], finish_reason: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        await events.send({**head, "choices": [choice]})

    try:
        async for piece in answer.pieces():
            if not events.begun:  # only now is it sure that the engine takes the request
                await send({"role": "assistant", "content": ""})
            await send({"content": piece})
    except Exception as problem:
        if not events.begun:
            raise
        await events.send(refusal(problem).body(openai=True))
        return await events.end()
    await send({} if events.begun else {"role": "assistant", "content": ""}, answer.finish_reason)
    if with_usage:
        await events.send({**head, "choices": [], "usage": answer.usage()})
    await events.send("[DONE]")
    return await events.end()


def _model(engine: Engine) -> dict[str, Any]:
    return {"id": engine.name, "object": "model", "created": _STARTED, "owned_by": "local"}


def _check_model(engine: Engine, name: str) -> None:
    if name != engine.name:
        raise Refused(
            404,
            "model_not_found",
            f"there is no model {name[:80]!r}; there is {engine.name!r}",
            param="model",
        )

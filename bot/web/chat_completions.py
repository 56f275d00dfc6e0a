"""POST /v1/chat/completions and GET /v1/models, in the shapes that OpenAI's clients read."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from aiohttp import web

from bot.app.metrics import RequestTimer
from bot.engine import CutOff, Engine, PromptTooLong, count_prompt, count_text
from bot.web.completion_request import CompletionRequest, read_completion
from bot.web.context import CONTEXT, unless_stopping
from bot.web.errors import Refused, counted_refusal, watch_request
from bot.web.json_body import read_object
from bot.web.responses import EventStream, json_response

_STARTED = int(time.time())


async def models(request: web.Request) -> web.Response:
    """The one model."""
    engine = request.app[CONTEXT].services.engine
    return json_response({"object": "list", "data": [_model(engine)]})


async def model(request: web.Request) -> web.Response:
    """One model by name. Raises Refused (404) for any other."""
    engine, name = request.app[CONTEXT].services.engine, request.match_info["name"]
    if name != engine.name:
        raise Refused(
            404,
            "model_not_found",
            f"there is no model {name[:80]!r}; there is {engine.name!r}",
            param="model",
        )
    return json_response(_model(engine))


async def complete(request: web.Request) -> web.StreamResponse:
    """Answer a conversation, at once or streamed, by the one model, whichever name is asked for."""
    engine = request.app[CONTEXT].services.engine
    asked = read_completion(await read_object(request))
    with watch_request("openai") as timer:
        completion = Completion(engine, asked, timer, await count_prompt(engine, asked.prompt))
        if asked.stream:
            return await _stream(request, completion, asked.usage)
        content = await unless_stopping(request, completion.whole())
    message = {"role": "assistant", "content": content, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": completion.finish_reason, "logprobs": None}
    return json_response(
        {**completion.head("chat.completion"), "choices": [choice], "usage": completion.usage()}
    )


class Completion:
    """One completion in progress, with what a response says beside the text.

    Raises Refused for a prompt beyond the window, here or while it is answered.
    """

    def __init__(
        self, engine: Engine, asked: CompletionRequest, timer: RequestTimer, prompt_tokens: int
    ) -> None:
        self._engine, self._asked, self._timer = engine, asked, timer
        self._id, self._created = f"chatcmpl-{secrets.token_hex(12)}", int(time.time())
        self._prompt_tokens = prompt_tokens
        room = engine.context_tokens - prompt_tokens
        if room < 1:
            raise self._too_long(prompt_tokens)
        self._limit = min(asked.limit or room, room)
        self._text, self._cut_off = "", False

    async def pieces(self) -> AsyncGenerator[str]:
        """The text as it is decoded."""
        sampling = replace(self._asked.sampling, max_tokens=self._limit)
        try:
            async with aclosing(self._engine.stream(self._asked.prompt, sampling)) as pieces:
                async for piece in pieces:
                    self._cut_off = isinstance(piece, CutOff)
                    if piece:
                        self._timer.note_text()
                        self._text += piece
                        yield piece
        except PromptTooLong as problem:  # a remote server counts for itself
            raise self._too_long(problem.tokens) from None
        self._timer.count_tokens(self._prompt_tokens, self.completion_tokens)

    async def whole(self) -> str:
        """All of the text."""
        async with aclosing(self.pieces()) as pieces:
            return "".join([piece async for piece in pieces])

    @property
    def completion_tokens(self) -> int:
        """How many tokens the text has; the one that ended the turn is not counted."""
        return count_text(self._engine, self._text)

    @property
    def finish_reason(self) -> str:
        """`length` where the limit ended the text, else `stop`."""
        return "length" if self._cut_off else "stop"

    def usage(self) -> dict[str, int]:
        """Token counts."""
        completion_tokens = self.completion_tokens
        return {
            "prompt_tokens": self._prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": self._prompt_tokens + completion_tokens,
        }

    def head(self, kind: str) -> dict[str, Any]:
        """The fields with which every object of this completion begins."""
        return {"id": self._id, "object": kind, "created": self._created, "model": self._engine.name}

    def _too_long(self, tokens: int) -> Refused:
        """OpenAI's own code and sentence: clients look for either to shorten a conversation."""
        return Refused(
            400,
            "context_length_exceeded",
            f"This model's maximum context length is {self._engine.context_tokens} tokens. However, your "
            f"messages resulted in {tokens} tokens. Please reduce the length of the messages.",
            param="messages",
        )


async def _stream(request: web.Request, completion: Completion, with_usage: bool) -> web.StreamResponse:
    events = EventStream(request)
    head = completion.head("chat.completion.chunk") | ({"usage": None} if with_usage else {})

    async def send(delta: dict[str, str], finish_reason: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        await events.send({**head, "choices": [choice]})

    opening: dict[str, str] = {"role": "assistant", "content": ""}

    async def write() -> None:
        nonlocal opening
        async with aclosing(completion.pieces()) as pieces:
            async for piece in pieces:
                if opening:  # only now is it certain that the engine takes the request
                    await send(opening)
                    opening = {}
                await send({"content": piece})

    try:
        async with events:
            await unless_stopping(request, write())
    except Exception as problem:
        if not events.started:
            raise
        await events.send(counted_refusal(problem, request.path).body(openai=True))
        return await events.end()
    await send(opening, completion.finish_reason)
    if with_usage:
        await events.send({**head, "choices": [], "usage": completion.usage()})
    await events.send("[DONE]")
    return await events.end()


def _model(engine: Engine) -> dict[str, Any]:
    return {"id": engine.name, "object": "model", "created": _STARTED, "owned_by": "local"}

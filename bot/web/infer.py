"""POST /api/infer: one text in a role, or in both of the roles that ship."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from bot.emotion import Emotion, Explanation
from bot.markdown import render
from bot.metrics import Watched
from bot.roles import Role
from bot.services import Services
from bot.tags import split_tag
from bot.web.answers import json_answer
from bot.web.context import CONTEXT
from bot.web.counting import count_text
from bot.web.errors import bad, refusal, watching
from bot.web.events import Events
from bot.web.reading import flag, kind, read_object, text_of

_KEYS = ("text", "mode", "thread", "strict", "explain")
_THREAD = re.compile(r"[A-Za-z0-9_-]{1,64}")
BOTH = ("emotion", "chat")
RENDER_SECONDS = 0.1  # between two renderings of a reply that is still being written


@dataclass(frozen=True)
class Asked:
    """One checked request. `modes` are names of roles."""

    text: str
    modes: tuple[str, ...]
    thread: str | None
    strict: bool
    explain: bool


@dataclass
class Result:
    """What was found out so far."""

    emotion: Emotion | None = None
    explanation: Explanation | None = None
    reply: str | None = None
    thread: str | None = None

    def body(self, seconds: float) -> dict[str, Any]:
        """The JSON object of the answer."""
        return {
            "emotion_label": self.emotion.label if self.emotion else None,
            "chat_response": self.reply,
            "inference_time_ms": round(seconds * 1000, 1),
            "emotion": _emotion_body(self.emotion, self.explanation),
            "thread": self.thread,
        }


async def infer(request: web.Request) -> web.StreamResponse:
    """Answer as one JSON object, or with `Accept: text/event-stream` as it comes into being.

    The events are `emotion` (the object's emotion part and the line to show), `piece` (more of the
    reply, now and then with all of it so far as safe HTML), `done` (the whole object, and the reply
    as safe HTML) and `error`.
    """
    services = request.app[CONTEXT].services
    asked = read_request(await read_object(request), services.roles)
    if "text/event-stream" in request.headers.get("Accept", ""):
        return await _stream(request, services, asked)
    start = time.perf_counter()
    with watching("infer") as watched:
        result = Result()
        await _answer(services, asked, result, watched, None)
    return json_answer(result.body(time.perf_counter() - start))


def read_request(body: Mapping[str, Any], roles: Mapping[str, Role]) -> Asked:
    """The request in a body. Raises Refused saying what is wrong and the mend."""
    if unknown := sorted(set(body) - set(_KEYS)):
        raise bad(f"`{unknown[0]}` is not known here; known are {', '.join(_KEYS)}", unknown[0])
    if "text" not in body:
        raise bad('`text` is missing: send {"text": "今天太棒了！"}', "text")
    tag, text = split_tag(text_of(body["text"], "text"))
    mode = body.get("mode")
    if mode is not None:
        if not isinstance(mode, str):
            raise bad(f"`mode` must be text, not {kind(mode)}", "mode")
        if mode not in roles:
            raise bad(f"there is no mode {mode[:40]!r}; there are {', '.join(roles)}", "mode")
        if tag is not None and tag != mode:
            raise bad(
                f"the text begins with #{tag.upper()}# and `mode` is {mode!r}: send one of them", "mode"
            )
    if not text:
        raise bad("`text` is empty: write a sentence, for example 今天太棒了！", "text")
    thread = body.get("thread")
    if thread is not None and not (isinstance(thread, str) and _THREAD.fullmatch(thread)):
        raise bad(
            "`thread` must be the one of an earlier answer: A-Z, a-z, 0-9, _ and -, at most 64", "thread"
        )
    chosen = mode or tag
    modes = (chosen,) if chosen else tuple(name for name in BOTH if name in roles)
    return Asked(text, modes, thread, flag(body, "strict"), flag(body, "explain"))


async def _stream(request: web.Request, services: Services, asked: Asked) -> web.StreamResponse:
    events, start = Events(request), time.perf_counter()
    try:
        with watching("page") as watched:
            result = Result()
            await _answer(services, asked, result, watched, events)
    except Exception as problem:
        if not events.begun:
            raise
        await events.send(refusal(problem).body(), "error")
        return await events.end()
    html = render(result.reply) if result.reply is not None else None
    await events.send({**result.body(time.perf_counter() - start), "html": html}, "done")
    return await events.end()


async def _answer(
    services: Services, asked: Asked, result: Result, watched: Watched, events: Events | None
) -> None:
    """Fill `result`: the emotion first, which takes milliseconds, then the reply."""
    for mode in asked.modes:
        if services.roles[mode].classifies:
            await _classify(services, asked, mode, result)
            watched.spoke()
            if events is not None and result.emotion is not None:
                line = services.emotions.line(result.emotion, role=mode)
                await events.send(
                    {"line": line, "emotion": _emotion_body(result.emotion, result.explanation)}, "emotion"
                )
        else:
            await _reply(services, asked, mode, result, watched, events)


async def _classify(services: Services, asked: Asked, role: str, result: Result) -> None:
    emotions = services.emotions
    result.emotion = await emotions.classify(asked.text, strict=asked.strict, role=role)
    if asked.explain:
        result.explanation = await emotions.explain(asked.text, result.emotion, role=role)


async def _reply(
    services: Services, asked: Asked, role: str, result: Result, watched: Watched, events: Events | None
) -> None:
    result.thread = asked.thread or secrets.token_urlsafe(12)
    # The prefix keeps what comes over HTTP out of Slack's threads.
    pieces: list[str] = []
    rendered = 0.0
    stream = services.conversations.reply(f"web:{result.thread}", asked.text, role=role)
    async with aclosing(stream) as answer:  # type: ignore[type-var]  # it is a generator
        async for piece in answer:
            watched.spoke()
            pieces.append(piece)
            if events is not None:
                more: dict[str, str] = {"text": piece}
                if time.perf_counter() - rendered > RENDER_SECONDS:
                    rendered, more["html"] = time.perf_counter(), render("".join(pieces))
                await events.send(more, "piece")
    result.reply = "".join(pieces).strip()
    watched.tokens(completion=count_text(services.engine, result.reply))


def _emotion_body(emotion: Emotion | None, explanation: Explanation | None) -> dict[str, Any] | None:
    if emotion is None:
        return None
    return {
        **emotion.data(),
        **(explanation.data() if explanation else {"evidence": None, "explanation": None}),
    }

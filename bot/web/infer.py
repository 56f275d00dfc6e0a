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

from bot.app.metrics import RequestTimer
from bot.app.services import Services
from bot.emotion import Emotion, Explanation
from bot.emotion.sentences import emotion_line, explanation_text, label_word
from bot.engine import count_text
from bot.markdown_html import render
from bot.roles import Role, split_tag
from bot.web.context import CONTEXT, reader_language, unless_stopping
from bot.web.errors import bad_request, counted_refusal, watch_request
from bot.web.json_body import check_keys, check_short, check_text, json_type, read_flag, read_object
from bot.web.responses import EventStream, json_response

_KEYS = ("text", "mode", "thread", "strict", "explain")
_THREAD = re.compile(r"[A-Za-z0-9_-]{1,64}")
DEFAULT_MODES = ("emotion", "chat")  # without tag and mode
RENDER_SECONDS = 0.1  # between two renderings of a reply that is still being decoded


@dataclass(frozen=True)
class InferRequest:
    """One checked request. `modes` are names of roles."""

    text: str
    modes: tuple[str, ...]
    thread: str | None
    strict: bool
    explain: bool


@dataclass
class InferResult:
    """What the roles have answered so far."""

    emotion: Emotion | None = None
    explanation: Explanation | None = None
    reply: str | None = None
    thread: str | None = None

    @property
    def html(self) -> str | None:
        """The reply as safe HTML, None without one."""
        return render(self.reply) if self.reply is not None else None

    def body(self, seconds: float) -> dict[str, Any]:
        """The JSON object of the response."""
        return {
            "emotion_label": self.emotion.label if self.emotion else None,
            "chat_response": self.reply,
            "inference_time_ms": round(seconds * 1000, 1),
            "emotion": _emotion_body(self.emotion, self.explanation),
            "thread": self.thread,
        }


async def infer(request: web.Request) -> web.StreamResponse:
    """Answer with one JSON object, or with `Accept: text/event-stream` piece by piece.

    The events are `emotion` (the object's emotion part, the line to show, and the label's word for who
    reads no Chinese), `piece` (more of the reply, now and then with all of it so far as safe HTML),
    `done` (the whole object, and the reply as safe HTML) and `error` (and the reply so far).
    """
    services = request.app[CONTEXT].services
    asked = read_request(await read_object(request), services.roles)
    if "text/event-stream" in request.headers.get("Accept", ""):
        return await _stream(request, services, asked)
    start = time.perf_counter()
    with watch_request("infer") as timer:
        result = InferResult()
        await unless_stopping(request, _answer(services, asked, result, timer, None))
    return json_response(result.body(time.perf_counter() - start))


def read_request(body: Mapping[str, Any], roles: Mapping[str, Role]) -> InferRequest:
    """The request in a body. Raises Refused saying what is wrong and the mend."""
    check_keys(body, _KEYS)
    if "text" not in body:
        raise bad_request('`text` is missing: send {"text": "今天太棒了！"}', "text")
    tag, text = split_tag(check_text(body["text"], "text"))
    mode = body.get("mode")
    if mode is not None:
        if not isinstance(mode, str):
            raise bad_request(f"`mode` must be text, not {json_type(mode)}", "mode")
        if mode not in roles:
            raise bad_request(f"there is no mode {mode[:40]!r}; there are {', '.join(roles)}", "mode")
        if tag is not None and tag != mode:
            raise bad_request(
                f"the text begins with #{tag.upper()}# and `mode` is {mode!r}: send one of them", "mode"
            )
    if not text:
        raise bad_request("`text` is empty: write a sentence, for example 今天太棒了！", "text")
    thread = body.get("thread")
    if thread is not None and not (isinstance(thread, str) and _THREAD.fullmatch(thread)):
        raise bad_request(
            "`thread` must be the one of an earlier answer: A-Z, a-z, 0-9, _ and -, at most 64", "thread"
        )
    chosen = mode or tag
    modes = (chosen,) if chosen else tuple(name for name in DEFAULT_MODES if name in roles)
    if any(roles[name].classifies for name in modes):  # its sentences are looked at one by one
        check_short(text, "text")
    return InferRequest(text, modes, thread, read_flag(body, "strict"), read_flag(body, "explain"))


async def _stream(request: web.Request, services: Services, asked: InferRequest) -> web.StreamResponse:
    events, start, result = EventStream(request, reader_language(request)), time.perf_counter(), InferResult()
    try:
        async with events:
            with watch_request("page") as timer:
                await unless_stopping(request, _answer(services, asked, result, timer, events))
    except Exception as problem:
        if not events.started:
            raise
        await events.send({**counted_refusal(problem, request.path).body(), "html": result.html}, "error")
        return await events.end()
    await events.send({**result.body(time.perf_counter() - start), "html": result.html}, "done")
    return await events.end()


async def _answer(
    services: Services,
    asked: InferRequest,
    result: InferResult,
    timer: RequestTimer,
    events: EventStream | None,
) -> None:
    """Fill `result`: the emotion first, which takes milliseconds, then the reply."""
    for mode in asked.modes:
        role = services.roles[mode]
        if role.classifies:
            emotion = await _classify(services, asked, mode, result)
            timer.note_text()
            if events is not None:
                body = _emotion_body(emotion, result.explanation)
                line, word = emotion_line(emotion, role), label_word(emotion, events.language)
                await events.send({"line": line, "word": word, "emotion": body}, "emotion")
        else:
            await _reply(services, asked, mode, result, timer, events)


async def _classify(services: Services, asked: InferRequest, role: str, result: InferResult) -> Emotion:
    result.emotion = await services.classifier.classify(asked.text, strict=asked.strict, role=role)
    if asked.explain:
        result.explanation = await services.classifier.explain(asked.text, result.emotion, role=role)
    return result.emotion


async def _reply(
    services: Services,
    asked: InferRequest,
    role: str,
    result: InferResult,
    timer: RequestTimer,
    events: EventStream | None,
) -> None:
    result.thread = asked.thread or secrets.token_urlsafe(12)
    pieces: list[str] = []
    rendered = 0.0
    # The prefix keeps threads of the API apart from Slack's.
    stream = services.conversations.reply(f"web:{result.thread}", asked.text, role=role)
    try:
        async with aclosing(stream) as reply:
            async for piece in reply:
                timer.note_text()
                pieces.append(piece)
                if events is not None:
                    event: dict[str, str] = {"text": piece}
                    if time.perf_counter() - rendered > RENDER_SECONDS:
                        rendered, event["html"] = time.perf_counter(), render("".join(pieces))
                    await events.send(event, "piece")
    finally:  # of a reply that breaks off, what there is
        result.reply = "".join(pieces).strip()
    timer.count_tokens(completion=count_text(services.engine, result.reply))


def _emotion_body(emotion: Emotion | None, explanation: Explanation | None) -> dict[str, Any] | None:
    if emotion is None:
        return None
    return {
        **emotion.data(),
        "evidence": explanation.data() if explanation else None,
        "explanation": explanation_text(explanation) if explanation else None,
    }

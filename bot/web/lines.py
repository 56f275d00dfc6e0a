"""POST /api/lines: each of several texts judged by itself, told as it comes."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from bot.app.services import Services
from bot.emotion.sentences import label_word
from bot.emotion.spans import normalize_text
from bot.web.context import CONTEXT, reader_language, unless_stopping
from bot.web.errors import Refused, bad_request, counted_refusal, watch_request
from bot.web.json_body import check_keys, check_short, json_type, read_object
from bot.web.responses import EventStream

MAX_LINES = 1000
AT_ONCE = 8  # lines between two events: enough to share their passes, and few enough to be told of soon


async def lines(request: web.Request) -> web.StreamResponse:
    """Judge `{"lines": [text, ...]}` in their order; a client that goes away ends the work.

    The events are `lines` (the next few, each with label, emoji, word, confidence and omitted, or null for
    a text without words), `done` and `error`.
    """
    services = request.app[CONTEXT].services
    texts = read_lines(await read_object(request))
    events = EventStream(request, reader_language(request))
    try:
        async with events:
            with watch_request("page"):
                await unless_stopping(request, _judge(services, texts, events))
    except Exception as problem:
        if not events.started:
            raise
        await events.send(counted_refusal(problem, request.path).body(), "error")
        return await events.end()
    await events.send({"count": len(texts)}, "done")
    return await events.end()


def read_lines(body: dict[str, object]) -> list[str]:
    """The texts in a body. Raises Refused saying what is wrong and the mend."""
    check_keys(body, ("lines",))
    if "lines" not in body:
        raise bad_request('`lines` is missing: send {"lines": ["今天太棒了！", "等了两个小时"]}', "lines")
    found = body["lines"]
    if not isinstance(found, list):
        raise bad_request(f"`lines` must be a list of texts, not {json_type(found)}", "lines")
    if not found:
        raise bad_request("`lines` is empty: send at least one text", "lines")
    if len(found) > MAX_LINES:
        raise Refused(
            413, "too_many_lines", f"`lines` has {len(found)} texts; at most {MAX_LINES} are judged at once"
        )
    return [check_short(text, f"lines[{at}]") for at, text in enumerate(found)]


async def _judge(services: Services, texts: Sequence[str], events: EventStream) -> None:
    for start in range(0, len(texts), AT_ONCE):
        part = texts[start : start + AT_ONCE]
        emotions = iter(await services.classifier.classify_many(list(filter(normalize_text, part))))
        rows = []
        for text in part:
            emotion = next(emotions) if normalize_text(text) else None
            rows.append(
                emotion
                and {
                    "label": emotion.label,
                    "emoji": emotion.emoji,
                    "word": label_word(emotion, events.language),
                    "confidence": emotion.data()["confidence"],
                    "omitted": emotion.omitted,
                }
            )
        await events.send({"lines": rows}, "lines")

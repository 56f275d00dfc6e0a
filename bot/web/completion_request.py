"""The body of a chat completion, checked field by field: what this bot cannot do is refused, not ignored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from bot.engine import Message, Prompt, Sampling
from bot.engine.interface import Speaker
from bot.web.errors import Refused, bad_request
from bot.web.json_body import check_text, json_type, read_flag

_SPEAKERS: dict[str, Speaker] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
# Read by OpenAI's own service only; leaving them out changes no answer.
_WITHOUT_EFFECT = {"user", "metadata", "store", "service_tier", "safety_identifier", "verbosity"}
_READ = {
    *("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens"),
    *("temperature", "top_p", "top_k", "repetition_penalty", "seed", "stop", "prompt_cache_key"),
}
# Fields with the only values under which this bot does what they ask.
_ONLY: dict[str, tuple[object, ...]] = {
    "n": (1,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "modalities": (["text"],),
    "response_format": ({"type": "text"},),
}
MAX_MESSAGES = 2_000


@dataclass(frozen=True)
class CompletionRequest:
    """One checked request. `limit` is the most tokens asked for, None for as many as fit."""

    model: str
    prompt: Prompt
    sampling: Sampling
    limit: int | None
    stream: bool
    usage: bool


def read_completion(body: Mapping[str, Any]) -> CompletionRequest:
    """The request in a body. Raises Refused (400, 413) naming the field and the mend."""
    for name, value in body.items():
        if value is None:
            continue
        if name in _ONLY:
            if value not in _ONLY[name]:
                allowed = " or ".join(repr(each) for each in _ONLY[name])
                raise Refused(
                    400, "unsupported_value", f"`{name}` is not supported beyond {allowed}", param=name
                )
        elif name not in _READ | _WITHOUT_EFFECT:
            raise Refused(400, "unknown_parameter", f"`{name}` is not known here", param=name)
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise bad_request("`model` must name a model; GET /v1/models lists them", "model")
    limit = _limit(body)
    options = body.get("stream_options") or {}
    if not isinstance(options, dict):
        raise bad_request(f"`stream_options` must be an object, not {json_type(options)}", "stream_options")
    stream = read_flag(body, "stream")
    if options and not stream:
        raise bad_request("`stream_options` is only allowed when `stream` is true", "stream_options")
    return CompletionRequest(
        model,
        _prompt(body),
        Sampling(
            temperature=_number(body, "temperature", 0, 2),
            top_p=_number(body, "top_p", 0, 1),
            top_k=_whole(body, "top_k", 0),
            repetition_penalty=_number(body, "repetition_penalty", 0.1, 10),
            seed=_whole(body, "seed", -(2**63)),
            stop=_stop(body.get("stop")),
        ),
        limit,
        stream,
        read_flag(options, "include_usage"),
    )


def _prompt(body: Mapping[str, Any]) -> Prompt:
    found = body.get("messages")
    if not isinstance(found, list) or not found:
        raise bad_request("`messages` must be a list with at least one message", "messages")
    if len(found) > MAX_MESSAGES:
        raise bad_request(f"`messages` has {len(found)} entries; at most {MAX_MESSAGES} are read", "messages")
    messages = [_message(entry, f"messages[{at}]") for at, entry in enumerate(found)]
    # An answer that the client has begun is continued, as llama.cpp's server does.
    opening = messages.pop().content if messages[-1].speaker == "assistant" else ""
    if not messages:
        raise bad_request("`messages` needs a message that is not the assistant's", "messages")
    key = body.get("prompt_cache_key")
    session = f"openai:{check_text(key, 'prompt_cache_key')}" if key is not None else None
    return Prompt(tuple(messages), opening=opening, session=session)


def _message(entry: object, name: str) -> Message:
    if not isinstance(entry, dict):
        raise bad_request(f"`{name}` must be an object, not {json_type(entry)}", name)
    role = entry.get("role")
    if not isinstance(role, str) or role not in _SPEAKERS:
        raise bad_request(f"`{name}.role` must be one of {', '.join(_SPEAKERS)}", f"{name}.role")
    if entry.get("tool_calls") or entry.get("function_call"):
        raise Refused(400, "unsupported_value", "tool calls are not supported", param=f"{name}.tool_calls")
    return Message(_SPEAKERS[role], _content(entry.get("content"), f"{name}.content"))


def _content(content: object, name: str) -> str:
    """Text, or the texts of a message in parts, one after the other."""
    if not isinstance(content, list):
        return check_text(content, name)
    texts = []
    for at, part in enumerate(content):
        where = f"{name}[{at}]"
        form = part.get("type") if isinstance(part, dict) else None
        if form != "text":
            raise Refused(
                400,
                "unsupported_value",
                f"`{where}` must be a part of type text; this model reads text",
                param=where,
            )
        texts.append(check_text(cast("dict[str, Any]", part).get("text"), f"{where}.text"))
    return "".join(texts)


def _limit(body: Mapping[str, Any]) -> int | None:
    newer, older = _whole(body, "max_completion_tokens", 1), _whole(body, "max_tokens", 1)
    if newer is not None and older is not None and newer != older:
        raise bad_request("give either `max_completion_tokens` or `max_tokens`", "max_tokens")
    return newer if newer is not None else older


def _stop(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    texts = value if isinstance(value, list) else [value]
    if len(texts) > 4:
        raise bad_request(f"`stop` has {len(texts)} texts; at most 4 are allowed", "stop")
    found = tuple(check_text(text, "stop") for text in texts)
    if not all(found):
        raise bad_request("`stop` must not be empty text", "stop")
    return found


def _number(body: Mapping[str, Any], name: str, low: float, high: float) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise bad_request(f"`{name}` must be a number from {low} to {high}", name)
    return float(value)


def _whole(body: Mapping[str, Any], name: str, low: int) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value < 2**63:
        raise bad_request(f"`{name}` must be a whole number from {low}", name)
    return value

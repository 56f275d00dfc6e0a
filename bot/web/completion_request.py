"""The body of a chat completion, checked field by field.

What is not known is ignored, as other servers do. What is known and would change the answer's meaning, but
cannot be had here, is refused with what works instead.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from bot.engine import Message, Prompt, Sampling
from bot.engine.interface import Speaker
from bot.web.errors import Refused, bad_request
from bot.web.json_body import check_short, check_text, json_type, read_flag

log = logging.getLogger(__name__)

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
    *("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty"),
    *("frequency_penalty", "logit_bias", "seed", "stop", "prompt_cache_key"),
}
_ONE_ANSWER = "one answer a request is given here; for another one, send the request again"
_LOGPROBS = "no log-probabilities are told here; POST /api/infer tells how likely each of a role's labels is"
_FREE_TEXT = (
    "the form of an answer cannot be enforced here; ask for JSON in the prompt and parse the answer, or let "
    "POST /api/infer choose among a role's labels"
)
_NO_TOOLS = (
    'this model calls no tools and answers in words: leave it out, or send "auto"; for an answer of a given '
    "form, ask for JSON in the prompt and parse it"
)
_TEXT_ALONE = 'this model writes text: leave it out, or send ["text"]'
# Fields with the values under which they ask for nothing, and what to do instead of any other.
_REFUSED: dict[str, tuple[tuple[object, ...], str]] = {
    "n": ((1, 1.0), _ONE_ANSWER),
    "best_of": ((1, 1.0), _ONE_ANSWER),
    "logprobs": ((False,), _LOGPROBS),
    "top_logprobs": ((0, 0.0), _LOGPROBS),
    "response_format": (({"type": "text"},), _FREE_TEXT),
    "structured_outputs": (({},), _FREE_TEXT),
    "guided_json": ((), _FREE_TEXT),
    "guided_choice": ((), _FREE_TEXT),
    "guided_regex": ((), _FREE_TEXT),
    "guided_grammar": ((), _FREE_TEXT),
    "grammar": (("",), _FREE_TEXT),
    "json_schema": (({},), _FREE_TEXT),
    # An offer of tools is no demand: under "auto" a model may always answer in words.
    "tool_choice": (("none", "auto"), _NO_TOOLS),
    "function_call": (("none", "auto"), _NO_TOOLS),
    "modalities": ((["text"],), _TEXT_ALONE),
    "audio": ((), _TEXT_ALONE),
}
_UNLIMITED = -1  # as other servers write "no limit"
MAX_MESSAGES = 2_000
MAX_BIASES = 1_024
MAX_NOTED = 100  # names of fields that are logged, and how much of each
_NAME_SHOWN = 40
_noted: set[str] = set()


@dataclass(frozen=True)
class CompletionRequest:
    """One checked request. `limit` is the most tokens asked for, None for as many as fit."""

    prompt: Prompt
    sampling: Sampling
    limit: int | None
    stream: bool
    usage: bool


def read_completion(body: Mapping[str, Any]) -> CompletionRequest:
    """The request in a body. Raises Refused (400, 413) naming the field and the mend."""
    for name, value in body.items():
        if value is None or name in _READ | _WITHOUT_EFFECT:
            continue
        if name not in _REFUSED:
            _note_ignored(name)
            continue
        without_effect, instead = _REFUSED[name]
        # `True == 1` in Python, though not in JSON.
        if not any(type(value) is type(each) and value == each for each in without_effect):
            raise Refused(400, "unsupported_value", f"`{name}`: {instead}", param=name)
    model = body.get("model")  # whatever its name, the one model answers
    if model is not None and not isinstance(model, str):
        raise bad_request(f"`model` must be text, not {json_type(model)}", "model")
    limit = _limit(body)
    options = body.get("stream_options") or {}
    if not isinstance(options, dict):
        raise bad_request(f"`stream_options` must be an object, not {json_type(options)}", "stream_options")
    stream = read_flag(body, "stream")
    if options and not stream:
        raise bad_request("`stream_options` is only allowed when `stream` is true", "stream_options")
    return CompletionRequest(
        _prompt(body),
        Sampling(
            temperature=_number(body, "temperature", 0, 2),
            top_p=_number(body, "top_p", 0, 1),
            top_k=_top_k(body),
            min_p=_number(body, "min_p", 0, 1) or 0.0,
            repetition_penalty=_number(body, "repetition_penalty", 0.1, 10),
            presence_penalty=_number(body, "presence_penalty", -2, 2) or 0.0,
            frequency_penalty=_number(body, "frequency_penalty", -2, 2) or 0.0,
            logit_bias=_logit_bias(body),
            seed=_whole(body, "seed", -(2**63)),
            stop=_stop(body.get("stop")),
        ),
        limit,
        stream,
        read_flag(options, "include_usage"),
    )


def _note_ignored(name: str) -> None:
    """Log a field's name, once a process and not without end: names are what clients send."""
    shown = name[:_NAME_SHOWN]
    if shown not in _noted and len(_noted) < MAX_NOTED:
        _noted.add(shown)
        log.info("the field %r of a chat completion has no effect here and is ignored", shown)


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
    session = f"openai:{check_short(key, 'prompt_cache_key')}" if key is not None else None
    return Prompt(tuple(messages), opening=opening, session=session)


def _message(entry: object, name: str) -> Message:
    if not isinstance(entry, dict):
        raise bad_request(f"`{name}` must be an object, not {json_type(entry)}", name)
    role = entry.get("role")
    if not isinstance(role, str) or role not in _SPEAKERS:
        raise bad_request(f"`{name}.role` must be one of {', '.join(_SPEAKERS)}", f"{name}.role")
    if entry.get("tool_calls") or entry.get("function_call"):
        raise Refused(400, "unsupported_value", "tool calls are not supported", param=f"{name}.tool_calls")
    if "content" not in entry:
        raise bad_request(f"`{name}.content` is missing", f"{name}.content")
    content = entry["content"]
    if content is None and role == "assistant":  # clients store an answer without words so
        content = ""
    return Message(_SPEAKERS[role], _content(content, f"{name}.content"))


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
    newer, older = _tokens(body, "max_completion_tokens"), _tokens(body, "max_tokens")
    if newer is not None and older is not None and newer != older:
        raise bad_request("give either `max_completion_tokens` or `max_tokens`", "max_tokens")
    return newer if newer is not None else older


def _tokens(body: Mapping[str, Any], name: str) -> int | None:
    return None if body.get(name) == _UNLIMITED else _whole(body, name, 1, f", or {_UNLIMITED} for no limit")


def _top_k(body: Mapping[str, Any]) -> int | None:
    if body.get("top_k") == _UNLIMITED:
        return 0  # the engine's word for every token
    return _whole(body, "top_k", 0, f", or {_UNLIMITED} for no limit")


def _logit_bias(body: Mapping[str, Any]) -> tuple[tuple[int, float], ...]:
    found = body.get("logit_bias")
    if found is None:
        return ()
    if not isinstance(found, dict) or len(found) > MAX_BIASES:
        raise bad_request(
            f"`logit_bias` must be an object with at most {MAX_BIASES} tokens, each with its bias",
            "logit_bias",
        )
    for token in found:
        if not (token.isascii() and token.isdigit() and len(token) < 10):
            raise bad_request(
                f"`logit_bias` must name tokens by their number, not {token[:_NAME_SHOWN]!r}", "logit_bias"
            )
    biases = {int(token): _number(found, token, -100, 100, "logit_bias") for token in found}
    return tuple((token, bias) for token, bias in biases.items() if bias)


def _stop(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    texts = value if isinstance(value, list) else [value]
    if len(texts) > 4:
        raise bad_request(f"`stop` has {len(texts)} texts; at most 4 are allowed", "stop")
    found = tuple(check_short(text, "stop") for text in texts)
    if not all(found):
        raise bad_request("`stop` must not be empty text", "stop")
    return found


def _number(body: Mapping[str, Any], name: str, low: float, high: float, within: str = "") -> float | None:
    """A number of the body, or of its field `within`; None where it is absent or null."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        shown = f"{within}.{name}" if within else name
        raise bad_request(f"`{shown}` must be a number from {low} to {high}", within or name)
    return float(value)


def _whole(body: Mapping[str, Any], name: str, low: int, beside: str = "") -> int | None:
    """A whole number, also where a client writes 5 as 5.0; None where it is absent or null."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value < 2**63:
        raise bad_request(f"`{name}` must be a whole number from {low}{beside}", name)
    return value

"""A request's JSON body, read strictly: what is wrong with it is said, by field."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from bot.web.errors import Refused, bad_request

MAX_BODY = 1024 * 1024  # bytes, decompressed
READ_SECONDS = 30.0  # within which a body must arrive
MAX_ARRIVING = 64 * MAX_BODY  # bytes of all bodies that have not arrived whole
_UNCOUNTED = 64 * 1024  # of each body, so that large ones leave room for those of a usual size
_BODY = web.RequestKey("body", bytes)  # where a request keeps it
_arriving = 0
_BROWSER = ("Origin", "Sec-Fetch-Site")  # headers of browsers with a POST; no script can omit them
MAX_SHORT = 20_000  # characters of what no count of tokens bounds


async def read_body(request: web.Request) -> None:
    """Read the body, which `read_object` finds in `request` then. Raises Refused (400, 408, 413, 503)."""
    try:
        request[_BODY] = await asyncio.wait_for(_read(request), READ_SECONDS)
    except asyncio.TimeoutError:
        raise Refused(408, "timeout", f"the body did not arrive within {READ_SECONDS:.0f} s") from None
    except (web.RequestPayloadError, HttpProcessingError) as problem:
        encoding = request.headers.get("Content-Encoding", "")[:40]
        mend = f"send what Content-Encoding ({encoding}) says, or leave that header out" if encoding else ""
        raise bad_request(f"the body cannot be read: {mend or problem}") from None


async def _read(request: web.Request) -> bytes:
    """The whole body, in bounded memory however many arrive at once, and however little of each."""
    global _arriving
    body, counted = bytearray(), 0
    if (request.content_length or 0) > MAX_BODY:
        raise web.HTTPRequestEntityTooLarge(MAX_BODY)
    try:
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > MAX_BODY:
                raise web.HTTPRequestEntityTooLarge(MAX_BODY)
            more = max(0, len(body) - _UNCOUNTED) - counted
            if more and _arriving + more > MAX_ARRIVING:
                raise Refused(503, "busy", "too many large requests arrive; try again", retry_after=2)
            _arriving, counted = _arriving + more, counted + more
        return bytes(body)
    finally:
        _arriving -= counted


async def read_object(request: web.Request) -> dict[str, Any]:
    """The JSON object in the body. Raises Refused (400).

    Plain `curl -d` names no JSON and is read all the same. From a browser the type must be right: another
    site can send JSON under a form's type without asking first, but not under JSON's own.
    """
    if request.content_type != "application/json" and any(name in request.headers for name in _BROWSER):
        raise bad_request("send JSON with the header Content-Type: application/json")
    try:  # a byte order mark, as some editors and shells write, is no part of the JSON
        found = json.loads(request[_BODY].decode("utf-8-sig"), parse_constant=_no_constant)
    except UnicodeDecodeError as problem:
        raise bad_request(f"the body is not UTF-8: byte {problem.start}") from None
    except json.JSONDecodeError as problem:
        raise bad_request(
            f"the body is not JSON: {problem.msg} at line {problem.lineno}, column {problem.colno}"
        ) from None
    except (RecursionError, ValueError) as problem:
        raise bad_request(f"the body is not JSON that can be read: {problem}") from None
    if not isinstance(found, dict):
        raise bad_request(f"the body must be a JSON object, not {json_type(found)}")
    return found


def check_keys(body: Mapping[str, Any], known: Sequence[str]) -> None:
    """Refuse fields that are not known: most are misspelled ones. Raises Refused (400)."""
    if unknown := sorted(set(body) - set(known)):
        raise bad_request(f"`{unknown[0]}` is not known here; known are {', '.join(known)}", unknown[0])


def check_short(value: object, name: str) -> str:
    """`check_text`, for a text that no count of tokens bounds. Raises Refused, also for a long one."""
    text = check_text(value, name)
    if len(text) > MAX_SHORT:
        raise Refused(
            413, "too_long", f"`{name}` has {len(text)} characters; at most {MAX_SHORT} are read", param=name
        )
    return text


def check_text(value: object, name: str) -> str:
    """`value` as text that the model can read. Raises Refused naming what is wrong with it."""
    if not isinstance(value, str):
        raise bad_request(f"`{name}` must be text, not {json_type(value)}", name)
    if "\x00" in value:
        raise bad_request(f"`{name}` has a null character at position {value.index(chr(0))}; remove it", name)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as problem:
        raise bad_request(
            f"`{name}` has half a surrogate pair at position {problem.start}; send whole characters", name
        ) from None
    return value


def read_flag(body: Mapping[str, Any], name: str) -> bool:
    """A true or false of the body; absent or null is false."""
    value = body.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise bad_request(f"`{name}` must be true or false, not {json_type(value)}", name)
    return value


def json_type(value: object) -> str:
    """What a value is called in JSON, for error messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    return "text" if isinstance(value, str) else "a list" if isinstance(value, list) else "an object"


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")

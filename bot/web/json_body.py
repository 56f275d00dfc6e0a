"""A request's JSON body, read strictly: what is wrong with it is said, by field."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NoReturn

from aiohttp import web

from bot.web.errors import Refused, bad_request

MAX_BODY = 1024 * 1024  # bytes
READ_SECONDS = 30.0  # within which a body must arrive
_BROWSER = ("Origin", "Sec-Fetch-Site")  # headers of browsers with a POST; no script can omit them
MAX_TEXT = 20_000  # characters of one text; the model's window is the narrower limit for most


async def read_object(request: web.Request) -> dict[str, Any]:
    """The JSON object in the body. Raises Refused (400, 413).

    Plain `curl -d` names no JSON and is read all the same. From a browser the type must be right: another
    site can send JSON under a form's type without asking first, but not under JSON's own.
    """
    if request.content_type != "application/json" and any(name in request.headers for name in _BROWSER):
        raise bad_request("send JSON with the header Content-Type: application/json")
    try:
        body = await asyncio.wait_for(request.read(), READ_SECONDS)
    except asyncio.TimeoutError:
        raise bad_request(f"the body did not arrive within {READ_SECONDS:.0f} s") from None
    try:
        found = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
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


def check_text(value: object, name: str) -> str:
    """`value` as text that the model can read. Raises Refused naming what is wrong with it."""
    if not isinstance(value, str):
        raise bad_request(f"`{name}` must be text, not {json_type(value)}", name)
    if len(value) > MAX_TEXT:
        raise Refused(
            413, "too_long", f"`{name}` has {len(value)} characters; at most {MAX_TEXT} are read", param=name
        )
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

"""The arguments of one Web API call: from the query, a form or a JSON body, and read by type."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from bot.sandbox.errors import SlackError

MAX_BODY = 8 * 1024 * 1024


async def read_arguments(request: web.Request) -> dict[str, Any]:
    """Everything the caller gave, JSON body before form before query.

    Raises SlackError json_not_object or invalid_json.
    """
    given: dict[str, Any] = dict(request.query)
    if request.method != "POST":
        return given
    if request.content_type == "application/json":
        try:
            body = await request.json()
        except ValueError:
            raise SlackError("invalid_json") from None
        if not isinstance(body, dict):
            raise SlackError("json_not_object")
        given.update(body)
    elif request.content_type in ("application/x-www-form-urlencoded", "multipart/form-data"):
        given.update({key: value for key, value in (await request.post()).items() if isinstance(value, str)})
    return given


def bearer(request: web.Request, given: Mapping[str, Any]) -> str:
    """The token, from the header or the arguments. Raises SlackError not_authed when there is none."""
    header = request.headers.get("Authorization", "")
    token = header[7:].strip() if header.lower().startswith("bearer ") else str(given.get("token", ""))
    if not token:
        raise SlackError("not_authed")
    return token


class Arguments:
    """Typed access to what was given; anything missing or odd is invalid_arguments."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.given = given

    def __contains__(self, name: str) -> bool:
        return self.given.get(name) not in (None, "")

    def text(self, name: str, default: str = "") -> str:
        """A string."""
        value = self.given.get(name)
        if value is None:
            return default
        if isinstance(value, (dict, list)):
            raise SlackError("invalid_arguments", f"must be a string [json-pointer:/{name}]")
        return str(value)

    def flag(self, name: str, default: bool = False) -> bool:
        """A boolean: true, "true", 1 and "1" are true."""
        value = self.given.get(name)
        return default if value is None else value in (True, 1, "1", "true", "True")

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number; beyond the range it is invalid_limit, as at Slack."""
        value = self.given.get(name)
        if value in (None, ""):
            return default
        try:
            number = int(str(value))
        except ValueError:
            raise SlackError("invalid_arguments", f"must be an integer [json-pointer:/{name}]") from None
        if not least <= number <= most:
            raise SlackError("invalid_limit")
        return number

    def json(self, name: str) -> Any:
        """An object or a list, given as itself or as JSON text; None when absent."""
        value = self.given.get(name)
        if isinstance(value, str) and value:
            try:
                return json.loads(value)
            except ValueError:
                code = "invalid_blocks_format" if name == "blocks" else "invalid_arguments"
                raise SlackError(code, f"must be valid JSON [json-pointer:/{name}]") from None
        return None if value == "" else value

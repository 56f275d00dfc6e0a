"""The Web API's methods by name: what each needs, and the function that answers it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bot.sandbox.arguments import Arguments
from bot.sandbox.context import Context
from bot.sandbox.errors import SlackError
from bot.sandbox.workspace import Channel, Json

Handler = Callable[[Context, Arguments], Json]


@dataclass(frozen=True)
class Method:
    """One method. `scopes` are alternatives; "app" as the token kind means an app-level token."""

    name: str
    handler: Handler
    scopes: tuple[str, ...]
    required: tuple[str, ...]
    optional: tuple[str, ...]
    token: str


METHODS: dict[str, Method] = {}


def method(
    name: str,
    scopes: tuple[str, ...] = (),
    required: str = "",
    optional: str = "",
    token: str = "bot",  # noqa: S107  a kind of token, not one
) -> Callable[[Handler], Handler]:
    """Register a function as a Web API method; argument names are given with spaces between."""

    def register(handler: Handler) -> Handler:
        METHODS[name] = Method(name, handler, scopes, tuple(required.split()), tuple(optional.split()), token)
        return handler

    return register


def call(context: Context, name: str, token: str, arguments: Arguments) -> Json:
    """The answer of one call, `ok` not yet in it. Raises SlackError for every refusal."""
    found = METHODS.get(name)
    if found is None:
        raise SlackError("unknown_method", req_method=name)
    if token not in (context.bot_token, context.app_token):
        raise SlackError("invalid_auth")
    if (token == context.app_token) != (found.token == "app"):  # noqa: S105  a kind of token, not one
        raise SlackError("not_allowed_token_type")
    require_scope(context, *found.scopes)
    missing = [name for name in found.required if name not in arguments]
    if missing:
        raise SlackError("invalid_arguments", *(f"missing required field: {field}" for field in missing))
    return found.handler(context, arguments)


def require_scope(context: Context, *scopes: str) -> None:
    """Raise SlackError missing_scope unless the app has one of `scopes` (none given: nothing is needed)."""
    if scopes and not any(scope in context.app.scopes for scope in scopes):
        raise SlackError("missing_scope", needed=scopes[0], provided=",".join(context.app.scopes))


def require_channel_scope(context: Context, channel: Channel, right: str) -> None:
    """As `require_scope`, for what each kind of channel has a scope of its own for: read, history, write."""
    kinds = {"im": "im", "mpim": "mpim", "group": "groups", "channel": "channels"}
    require_scope(context, f"{kinds[channel.kind]}:{right}")

"""What a client is told when something cannot be done: a status, a code, a sentence, never a stack trace."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web
from aiohttp.typedefs import Handler

from bot.app.logs import request_id
from bot.app.metrics import ERRORS, RequestTimer, watch
from bot.conversation import QuestionTooLong, UnknownRole
from bot.emotion import EmptyText
from bot.engine import EngineBusy, EngineError, NoLabel, PromptTooLong
from bot.storage import StorageError
from bot.web.responses import json_response

log = logging.getLogger(__name__)

_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    417: "bad_expectation",
}
_API = ("/api/", "/v1/")
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class Refused(Exception):
    """A request that is not done. `message` says what is wrong and the mend.

    param: the field at fault. retry_after: seconds after which it may work.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.param, self.retry_after = param, retry_after

    @property
    def headers(self) -> dict[str, str]:
        """The headers of its response."""
        headers = {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after)))
        if self.status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="bot"'
        return headers

    def body(self, openai: bool = False) -> dict[str, object]:
        """The JSON object; with `openai` in the shape that OpenAI's clients read."""
        if not openai:
            return {"error": {"code": self.code, "message": self.message}}
        error_type = _TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {
            "error": {"message": self.message, "type": error_type, "param": self.param, "code": self.code}
        }

    def response(self, openai: bool = False) -> web.Response:
        """The whole response."""
        response = json_response(self.body(openai), status=self.status, headers=self.headers)
        if self.status == 408:  # the rest of the body may still come, and is no request
            response.force_close()
        return response


def bad_request(message: str, param: str | None = None) -> Refused:
    """The refusal of a request whose field `param` is wrong."""
    return Refused(400, "bad_request", message, param=param)


def stopping() -> Refused:
    """Whoever still waits is told this when the bot is about to end."""
    return Refused(503, "stopping", "the bot is stopping; try again when it is back", retry_after=10)


@contextmanager
def watch_request(surface: str) -> Iterator[RequestTimer]:
    """Count and time one request; the client's own mistakes and a full queue do not count as failures."""
    with watch(surface) as timer:
        try:
            yield timer
        except EngineBusy:
            timer.outcome = "busy"
            raise
        except (Refused, PromptTooLong, QuestionTooLong, EmptyText, UnknownRole):
            timer.outcome = "refused"
            raise


def _refusal(problem: Exception) -> Refused:
    """What a client is told; what nobody expected is logged and not described."""
    if isinstance(problem, Refused):
        return problem
    if isinstance(problem, EngineBusy):
        return Refused(503, "busy", str(problem), retry_after=problem.retry_after)
    if isinstance(problem, (PromptTooLong, QuestionTooLong)):
        return Refused(413, "too_long", str(problem))
    if isinstance(problem, (EmptyText, UnknownRole)):
        return bad_request(str(problem))
    if isinstance(problem, web.HTTPRequestEntityTooLarge):
        return Refused(413, "too_large", "the request's body is too large: at most 1 MiB is read")
    if isinstance(problem, NoLabel):
        return Refused(503, "no_label", str(problem), retry_after=2)
    if isinstance(problem, EngineError):
        log.error("the engine failed: %s", problem)
        return Refused(503, "engine_failed", "the model could not answer this; try again", retry_after=2)
    if isinstance(problem, StorageError):
        log.error("%s", problem)
        return Refused(503, "storage", "the database cannot be used right now; try again", retry_after=10)
    log.error("request failed", exc_info=problem)
    return Refused(
        500, "internal", f"something went wrong on this side; the log has it under {request_id.get()}"
    )


def counted_refusal(problem: Exception, path: str) -> Refused:
    """What a client is told of any exception, counted by kind; `path` is the request's."""
    found = _refusal(problem)
    surface = "openai" if is_openai(path) else "infer" if path.startswith("/api/") else "other"
    ERRORS.labels(surface, str(found.status), found.code).inc()
    return found


def is_openai(path: str) -> bool:
    """Whether clients of OpenAI's read what comes from this path."""
    return path.startswith("/v1")


def framework_error(problem: web.HTTPException, request: web.BaseRequest) -> web.Response:
    """The response to what aiohttp itself refuses: no such address, another method, too large a body."""
    told: Exception = problem
    if not isinstance(problem, web.HTTPRequestEntityTooLarge):
        message = {
            404: f"there is nothing at {request.path}{_addresses(request)}",
            405: f"{request.method} does not work at {request.path}; use {problem.headers.get('Allow')}",
        }.get(problem.status, problem.reason)
        told = Refused(problem.status, _CODES.get(problem.status, "refused"), message)
    response = counted_refusal(told, request.path).response(is_openai(request.path))
    if "Allow" in problem.headers:
        response.headers["Allow"] = problem.headers["Allow"]
    return response


def _addresses(request: web.BaseRequest) -> str:
    """The API's addresses, for who has guessed another."""
    if not isinstance(request, web.Request):
        return ""
    routes = (route for route in request.app.router.routes() if route.method != "HEAD")
    found = [f"{route.method} {route.resource.canonical}" for route in routes if route.resource is not None]
    return f"; the API has {', '.join(each for each in found if each.split(' ')[1].startswith(_API))}"


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every exception into a JSON response."""
    try:
        return await handler(request)
    except web.HTTPException as problem:
        if problem.status < 400:
            raise
        return framework_error(problem, request)
    except (ConnectionResetError, asyncio.CancelledError):
        raise  # the client is gone
    except Exception as problem:  # the one place where everything unexpected becomes a response
        return counted_refusal(problem, request.path).response(is_openai(request.path))

"""What is told in JSON before a request reaches any middleware: no HTTP, an unknown Expect header."""

from __future__ import annotations

from aiohttp import web
from aiohttp.http_exceptions import ContentEncodingError

from bot.web.errors import Refused, counted_refusal, framework_error


class JsonErrorRunner(web.AppRunner):
    """Runs an application; aiohttp's own errors have the shape of the API's."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            try:
                return await made.request_handler(request)
            except web.HTTPException as problem:
                if problem.status < 400:
                    raise
                return framework_error(problem, request)

        return _Server(
            handle,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,
            **made._kwargs,
        )


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(web.RequestHandler):
    """One connection; what cannot be parsed on it is refused, and the connection closed."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The response to bytes that are no HTTP request. Raises ConnectionError where one is half sent."""
        if isinstance(exc, ConnectionError):  # the client is gone
            raise exc
        if request.writer.output_size > 0:
            raise ConnectionError("a response is sent already")
        told = exc if status >= 500 and isinstance(exc, Exception) else None
        message = "this is no HTTP/1.1 request that can be read"
        if isinstance(exc, ContentEncodingError):  # one that is not installed here
            message = "the body's Content-Encoding is not known here: send it plain, or with gzip or deflate"
        unreadable = Refused(status, "bad_request", message)
        response = counted_refusal(told or unreadable, "").response(openai=True)
        response.force_close()
        return response

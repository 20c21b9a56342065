"""What every request meets first and every answer last: ids, a span, a limit on bodies, headers, and the last resort.

One ASGI middleware, because each further one costs every request; and none that buffers, because answers stream.
"""

import re
import time
from dataclasses import dataclass, field
from uuid import UUID

import structlog
from opentelemetry import trace
from prometheus_client import Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.identity import NEW_COOKIE
from services.gateway.problems import problem_response, unexpected_response
from shared.errors import TooLarge
from shared.ids import new_id
from shared.settings import Settings
from shared.telemetry import extract

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    # For answers that are not pages; a page says what it needs.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
# Browsers heed it only where it comes by HTTPS.
TRANSPORT_SECURITY = "max-age=63072000; includeSubDomains"

REQUEST_SECONDS = Histogram(
    "tripthread_http_request_seconds", "From a request's head to its answer's last byte", ["method", "route", "status"]
)

log = structlog.get_logger(__name__)
_tracer = trace.get_tracer("tripthread.http")


def correlation_id_of(request: HTTPConnection) -> UUID:
    """Return the id for every event that follows from this request."""
    correlation_id: UUID = request.state.correlation_id
    return correlation_id


@dataclass
class _Exchange:
    """One request and what has become of it."""

    request_id: str
    correlation_id: UUID  # goes into every event that follows from this request
    began: float = field(default_factory=time.perf_counter)
    status: int = 0  # none sent yet


class Edge:
    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._most = settings.max_body_bytes
        self._headers = dict(HEADERS)
        if settings.environment == "production":
            self._headers["Strict-Transport-Security"] = TRANSPORT_SECURITY

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        exchange = _exchange(headers)
        scope.setdefault("state", {})["correlation_id"] = exchange.correlation_id
        with (
            structlog.contextvars.bound_contextvars(
                request_id=exchange.request_id, correlation_id=str(exchange.correlation_id)
            ),
            _tracer.start_as_current_span(scope["method"], extract(headers), trace.SpanKind.SERVER) as span,
        ):
            await self._serve(scope, headers, receive, self._sending(scope, exchange, send))
            self._account(scope, exchange, span)

    async def _serve(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        if _announced(headers) > self._most:
            # Not read, so the connection is of no use for another request.
            await problem_response(self._too_large(), {"Connection": "close"})(scope, receive, send)
            return
        try:
            await self._app(scope, self._limited(receive), send)
        except Exception:  # the outermost boundary of a request
            log.exception("request failed", method=scope["method"], path=scope["path"])
            if scope["state"].get("answering"):
                raise  # too late for another answer: the server breaks the connection off
            await unexpected_response()(scope, receive, send)

    def _limited(self, receive: Receive) -> Receive:
        """Count what comes, for a body that came without its length."""
        seen = 0

        async def limited() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._most:
                raise self._too_large()
            return message

        return limited

    def _too_large(self) -> TooLarge:
        return TooLarge(f"A body may have at most {self._most} bytes.")

    def _sending(self, scope: Scope, exchange: _Exchange, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                scope["state"]["answering"] = True
                exchange.status = message["status"]
                self._add_headers(scope, exchange, MutableHeaders(scope=message))
            await send(message)

        return sending

    def _add_headers(self, scope: Scope, exchange: _Exchange, headers: MutableHeaders) -> None:
        for name, value in self._headers.items():
            headers.setdefault(name, value)
        headers["X-Request-Id"] = exchange.request_id
        if NEW_COOKIE in scope:
            headers.append("Set-Cookie", scope[NEW_COOKIE])

    def _account(self, scope: Scope, exchange: _Exchange, span: trace.Span) -> None:
        # By the route's pattern, since paths are as many as there are sessions.
        route = getattr(scope.get("route"), "path", "unknown")
        span.update_name(f"{scope['method']} {route}")
        span.set_attribute("http.response.status_code", exchange.status)
        method = scope["method"] if route != "unknown" else "ANY"
        REQUEST_SECONDS.labels(method, route, exchange.status).observe(time.perf_counter() - exchange.began)


def _exchange(headers: Headers) -> _Exchange:
    """Keep the caller's request id; where it is a UUID, it is the correlation id as well."""
    own = new_id()
    given = headers.get("x-request-id", "")
    if not REQUEST_ID.fullmatch(given):
        return _Exchange(str(own), own)
    try:
        return _Exchange(given, UUID(given))
    except ValueError:
        return _Exchange(given, own)


def _announced(headers: Headers) -> int:
    length = headers.get("content-length", "0")
    return int(length) if length.isascii() and length.isdigit() else 0

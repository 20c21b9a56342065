"""What every request meets first and every answer last: ids, a span, a limit on bodies, headers, and the last resort.

One ASGI middleware, because each further one costs every request; and none that buffers, because answers stream.
It works on the raw header lists: Starlette's classes for them took half of the time that a request spends here.
"""

import re
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import lru_cache
from uuid import UUID

import structlog
from opentelemetry import trace
from prometheus_client import Histogram
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.http.answers.on_every_answer import HEADERS
from services.gateway.http.answers.openai_errors import refusal, unexpected
from services.gateway.http.callers.peer import TrustedProxies, peer_of
from services.gateway.http.edge.cors import Cors, Headers
from services.gateway.http.edge.hosts import allowed_hosts
from services.gateway.http.edge.request_span import end_request_span, enter_request_span, shown_path
from services.gateway.http.held.bodies import Bodies, Whose, let_go_of_body
from shared.errors import Misdirected
from shared.ids import new_id
from shared.process.telemetry import leave
from shared.settings import Settings, read_networks

_NEW_HEADERS = "tripthread.new_headers"
# Where a route leaves what is to go on with an answer that it has begun, once the request is done with: an answer that
# lasts for hours must not hold all that FastAPI makes for a request.
GOES_ON = "tripthread.goes_on"
GoesOn = Callable[[Receive, Send], Awaitable[None]]
# By any name: load balancers ask by addresses, and Avinode asks to be asked for its credentials.
ANY_HOST = ("/healthz", "/readyz", "/api/webhooks/")
REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
# Browsers heed it only where it comes by HTTPS.
TRANSPORT_SECURITY = {b"strict-transport-security": b"max-age=63072000; includeSubDomains"}

REQUEST_SECONDS = Histogram(
    "tripthread_http_request_seconds", "From a request's head to its answer's last byte", ["method", "route", "status"]
)

_seconds = lru_cache(1024)(REQUEST_SECONDS.labels)  # which are looked up anew by the library each time

log = structlog.get_logger(__name__)


def correlation_id_of(request: HTTPConnection) -> UUID:
    """Return the id for every event that follows from this request."""
    correlation_id: UUID = request.scope["state"]["correlation_id"]
    return correlation_id


def add_headers(scope: Scope, headers: Headers) -> None:
    """Let these headers go with whatever the answer will be."""
    scope.setdefault(_NEW_HEADERS, []).extend(headers)


def add_header(scope: Scope, header: tuple[bytes, bytes]) -> None:
    """Let a header go with whatever the answer will be."""
    add_headers(scope, [header])


class Edge:
    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        whose: Whose = peer_of,
        note_refusal: Callable[[Scope], None] = lambda _scope: None,
    ) -> None:
        self._app = app
        self._note_refusal = note_refusal  # of a request that was answered with 429
        self.bodies = Bodies(settings, whose)
        self._proxies = TrustedProxies(read_networks(settings.trusted_proxies), settings.proxy_header)
        self._hosts = allowed_hosts(settings)
        self._cors = Cors(settings.cors_origins)
        self._headers = HEADERS | (TRANSPORT_SECURITY if settings.environment == "production" else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        if self._proxies:  # before anybody reads who calls
            self._proxies.settle(scope)
        given: dict[bytes, bytes] = dict(scope["headers"])
        request_id, correlation_id = _ids(given.get(b"x-request-id", b""))
        scope.setdefault("state", {})["correlation_id"] = correlation_id
        bound = structlog.contextvars.bind_contextvars(request_id=request_id, correlation_id=str(correlation_id))
        span, entered = enter_request_span(scope, given)
        answer = _Answer(send, self._headers, request_id, scope)
        try:
            await self._serve(scope, given, receive, answer)
        finally:
            let_go_of_body(scope)
            if answer.status == 429:
                self._note_refusal(scope)
            _account(scope, answer.status, time.perf_counter() - began, span)
            leave(entered)
            structlog.contextvars.reset_contextvars(**bound)
        goes_on: GoesOn | None = scope.pop(GOES_ON, None)
        if goes_on is not None:
            del given, span, entered, answer, bound
            _forget(scope)
            await goes_on(receive, send)

    async def _serve(self, scope: Scope, given: dict[bytes, bytes], receive: Receive, answer: "_Answer") -> None:
        if self._cors:
            add_headers(scope, self._cors.headers(given))
            allowed = self._cors.preflight(scope["method"], given)
            if allowed is not None:
                await Response(status_code=204, headers=_spelled(allowed))(scope, receive, answer)
                return
        if self.bodies.is_too_long(_announced(given)):
            # Not read, so the connection is of no use for another request.
            await refusal(scope, self.bodies.too_large(), {"Connection": "close"})(scope, receive, answer)
            return
        if not self._is_meant(scope, given):
            await refusal(scope, Misdirected())(scope, receive, answer)
            return
        try:
            await self._app(scope, self.bodies.counted(scope, receive), answer)
        except ClientDisconnect:
            log.info("caller went away", method=scope["method"], path=shown_path(scope["path"]))
        except Exception:  # the outermost boundary of a request
            log.exception("request failed", method=scope["method"], path=shown_path(scope["path"]))
            if answer.status:
                raise  # too late for another answer: the server breaks the connection off
            await unexpected(scope)(scope, receive, answer)

    def _is_meant(self, scope: Scope, given: dict[bytes, bytes]) -> bool:
        """Tell whether the caller has a token, or calls us by a name of ours."""
        if b"authorization" in given or self._hosts.admits(given.get(b"host", b"")):
            return True
        path: str = scope["path"]
        return path.startswith(ANY_HOST)


class _Answer:
    """Sends an answer, with the headers that every one has."""

    def __init__(self, send: Send, headers: dict[bytes, bytes], request_id: str, scope: Scope) -> None:
        self._send = send
        self._headers = headers
        self._request_id = request_id
        self._scope = scope
        self.status = 0  # nothing was sent yet

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = self._with_ours(list(message.get("headers", ())))
        await self._send(message)

    def _with_ours(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        own = {name for name, _ in headers}  # a route may know better
        headers += [header for header in self._headers.items() if header[0] not in own]
        headers.append((b"x-request-id", self._request_id.encode()))
        headers += self._scope.get(_NEW_HEADERS, ())
        return headers


def _forget(scope: Scope) -> None:
    """Keep of a request what its answer goes by."""
    method = scope["method"]
    scope.clear()
    scope["method"] = method


def _ids(given: bytes) -> tuple[str, UUID]:
    """Return the request's id and its correlation id: the caller's own, for the latter only where it is a UUID."""
    own = new_id()
    if not REQUEST_ID.fullmatch(given):
        return str(own), own
    request_id = given.decode()
    try:
        return request_id, UUID(request_id)
    except ValueError:
        return request_id, own


def _spelled(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in headers}


def _announced(given: dict[bytes, bytes]) -> int:
    length = given.get(b"content-length", b"0")
    return int(length) if length.isdigit() else 0


def _account(scope: Scope, status: int, seconds: float, span: trace.Span) -> None:
    """Count the request by its route's pattern, since paths are as many as there are sessions."""
    route = getattr(scope.get("route"), "path", None)
    method = scope["method"] if route else "ANY"  # one can send any method to nowhere
    _seconds(method, route or "unknown", status).observe(seconds)
    end_request_span(span, scope["method"], route, status)

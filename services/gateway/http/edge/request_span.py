"""The span of one request, as OpenTelemetry's conventions for HTTP servers name it.

https://opentelemetry.io/docs/specs/semconv/http/http-spans/, of version 1.44.
"""

from opentelemetry import trace
from opentelemetry.context import Context
from starlette.types import Scope

from shared.process.telemetry import Entered, enter, enter_unseen, extract, inject, records_nothing

# Others are written as one: a caller may make up as many as it likes.
METHODS = frozenset(("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"))

TRACEPARENT_LENGTH = 55  # of version 00, the only one there is: https://www.w3.org/TR/trace-context/#traceparent-header
TRACE_ID_ENDS = 35  # `00-` and 32 hex digits
# Whose last part is a secret.
ENDS_SECRETLY = "/api/shared/"
LONGEST_STATE = 512  # characters that are to be passed on at least (section 3.3.1.5)

_tracer = trace.get_tracer("tripthread.http")


def enter_request_span(scope: Scope, headers: dict[bytes, bytes]) -> tuple[trace.Span, Entered]:
    """Begin the span, in the caller's trace if it names one; without the query, where callers put what is secret.

    Where nobody would see it, it is none: to make one takes as much as all else that the edge does.
    """
    if b"traceparent" not in headers and records_nothing():
        return trace.INVALID_SPAN, enter_unseen()
    attributes = {"url.scheme": scope.get("scheme", "http"), "url.path": shown_path(scope["path"])}
    span = _tracer.start_span("HTTP", _callers_context(headers), trace.SpanKind.SERVER, attributes)
    return span, enter(trace.set_span_in_context(span))


def shown_path(path: str) -> str:
    """Return a path as logs and spans may have it."""
    return f"{ENDS_SECRETLY}..." if path.startswith(ENDS_SECRETLY) else path


def traceparent_of(given: str | None) -> str | None:
    """Spell the current span for whoever goes on with it, as sampled where the request's sender records its trace.

    Args:
        given: The request's `traceparent`.
    """
    own = inject().get("traceparent")
    if own and given and own[:TRACE_ID_ENDS] == given[:TRACE_ID_ENDS] and given.endswith("-01"):
        return own[:-2] + "01"
    return own


def end_request_span(span: trace.Span, method: str, route: str | None, status: int) -> None:
    """Name the span by its route, say what came of it, and end it; status 0 is no answer at all."""
    if span.is_recording():
        known = method in METHODS
        name = method if known else "HTTP"
        span.update_name(f"{name} {route}" if route else name)
        span.set_attribute("http.request.method", method if known else "_OTHER")
        if route:
            span.set_attribute("http.route", route)
        if status:
            span.set_attribute("http.response.status_code", status)
        if not status or status >= 500:
            span.set_attribute("error.type", str(status) if status else "no_answer")
            span.set_status(trace.StatusCode.ERROR)
    span.end()


def _callers_context(headers: dict[bytes, bytes]) -> Context:
    if len(headers.get(b"traceparent", b"")) != TRACEPARENT_LENGTH:
        return Context()  # of a longer one the library would write a warning, for whoever likes to fill our logs
    wanted = {"traceparent": headers[b"traceparent"], "tracestate": headers.get(b"tracestate", b"")}
    return extract({name: value.decode("latin-1") for name, value in wanted.items() if len(value) <= LONGEST_STATE})

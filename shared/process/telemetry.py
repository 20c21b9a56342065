"""OpenTelemetry: one trace from the HTTP request through AMQP headers to the SQL transaction.

Ids are always made and propagated; spans are recorded and exported where OTEL_EXPORTER_OTLP_ENDPOINT says where to.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar, Token
from random import getrandbits
from threading import Thread
from typing import NamedTuple

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from shared.settings import Settings

SHUTDOWN_S = 2.0
RANDOM = trace.TraceFlags.RANDOM_TRACE_ID  # as OpenTelemetry's own ids are, too
_PROPAGATOR = TraceContextTextMapPropagator()  # alone: the usual ones look for baggage too, which nobody here packs
# The headers of a trace that nobody sees, where it is the current one: no span is made in it, so they stay the same.
_unseen: ContextVar[Mapping[str, str] | None] = ContextVar("unseen", default=None)


def configure_telemetry(settings: Settings, service: str) -> TracerProvider:
    """Make this process's tracer provider; `shut_down_telemetry` ends it.

    Without a collector nothing is recorded, which costs a third of what recording does: ids are all that is left.
    """
    resource = Resource.create({SERVICE_NAME: f"tripthread-{service}", SERVICE_INSTANCE_ID: settings.instance})
    sampler = None if settings.otel_exporter_otlp_endpoint else ALWAYS_OFF
    provider = TracerProvider(sampler, resource, shutdown_on_exit=False)
    if settings.otel_exporter_otlp_endpoint:
        # Imported here because it brings requests and protobuf, which a process that exports nothing need not hold.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

        endpoint = settings.otel_exporter_otlp_endpoint.rstrip("/") + "/v1/traces"
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    trace.set_tracer_provider(provider)
    return provider


def inject() -> Mapping[str, str]:
    """Return the headers (`traceparent`) that carry the current span to whoever hears this message."""
    unseen = _unseen.get()
    return _headers() if unseen is None else unseen


def _headers() -> dict[str, str]:
    headers: dict[str, str] = {}
    _PROPAGATOR.inject(headers)
    return headers


def extract(headers: Mapping[str, object]) -> Context:
    """Read the context that a message or request came with; an empty one where it has none."""
    carrier = {key.lower(): value for key, value in headers.items() if isinstance(value, str)}
    return _PROPAGATOR.extract(carrier, context=context.Context())


def passed_on(headers: Mapping[str, object]) -> dict[str, str]:
    """Return the headers with which a message that is sent again goes on with its trace; none where it has none.

    They are spelled anew: what a stranger has sent may be no trace, or larger than a frame.
    """
    carried: dict[str, str] = {}
    _PROPAGATOR.inject(carried, context=extract({"traceparent": headers.get("traceparent")}))
    return carried


def link(headers: Mapping[str, object]) -> trace.Link | None:
    """Make a link to the span that a message came from, for a span that serves many messages."""
    origin = trace.get_current_span(extract(headers)).get_span_context()
    return trace.Link(origin) if origin.is_valid else None


class Entered(NamedTuple):
    """A context that is the current one until it is left."""

    unseen: Token[Mapping[str, str] | None]
    context: Token[Context] | None = None  # none: there is no span in it


def records_nothing() -> bool:
    """Tell whether no span of this process is seen by anybody, whatever it continues."""
    return getattr(trace.get_tracer_provider(), "sampler", None) is ALWAYS_OFF


def enter_unseen() -> Entered:
    """Begin a trace that nobody will see, as the current one until `leave`: to have ids takes no span."""
    return Entered(_unseen.set({"traceparent": f"00-{getrandbits(128):032x}-{getrandbits(64):016x}-{RANDOM:02x}"}))


def enter(origin: Context) -> Entered:
    """Make this context the current one, until `leave`."""
    attached = context.attach(origin)
    return Entered(_unseen.set(_headers() if is_unseen(origin) else None), attached)


def leave(entered: Entered) -> None:
    """Go back to the context of before."""
    _unseen.reset(entered.unseen)
    if entered.context is not None:
        context.detach(entered.context)


def is_unseen(origin: Context | None = None) -> bool:
    """Tell whether this context, or else the current one, belongs to a trace that nobody sees.

    A span of its own would be ids alone there, and cost as much as a round trip.
    """
    if origin is None and _unseen.get() is not None:
        return True
    parent = trace.get_current_span(origin)
    return parent is not trace.INVALID_SPAN and not parent.get_span_context().trace_flags.sampled


def spanning(
    tracer: trace.Tracer,
    name: str,
    kind: trace.SpanKind,
    attributes: Mapping[str, AttributeValue],
    *,
    origin: Context | None = None,
    links: Sequence[trace.Link] = (),
) -> AbstractContextManager[trace.Span]:
    """Span the block; one that raises is marked by the error's class, since its text may repeat what was said.

    Args:
        tracer: Whose module it is.
        name: As the conventions for its kind have it; few different ones.
        kind: What the block is to whoever is at the other end.
        attributes: What is known when it begins.
        origin: The context that it continues; the current one where it is not given.
        links: The spans of others that it serves.
    """
    if not is_unseen(origin):
        return _seen(tracer, name, kind, attributes, origin=origin, links=links)
    return nullcontext(trace.get_current_span()) if origin is None else _within(origin)


@contextmanager
def _within(origin: Context) -> Iterator[trace.Span]:
    entered = enter(origin)
    try:
        yield trace.get_current_span()
    finally:
        leave(entered)


@contextmanager
def _seen(
    tracer: trace.Tracer,
    name: str,
    kind: trace.SpanKind,
    attributes: Mapping[str, AttributeValue],
    *,
    origin: Context | None,
    links: Sequence[trace.Link],
) -> Iterator[trace.Span]:
    with tracer.start_as_current_span(
        name, origin, kind, attributes, links, record_exception=False, set_status_on_exception=False
    ) as span:
        seen = _unseen.set(None)  # whatever it was: an origin may be in another trace than the current context
        try:
            yield span
        except Exception as error:
            span.set_attribute("error.type", type(error).__qualname__)
            span.set_status(trace.StatusCode.ERROR)
            raise
        finally:
            _unseen.reset(seen)


async def shut_down_telemetry(provider: TracerProvider) -> None:
    """Export what is left, for `SHUTDOWN_S` at most: a collector that hangs keeps nobody waiting.

    In a daemon's thread, because the interpreter waits for any other one before it ends.
    """
    ending = Thread(target=provider.shutdown, name="telemetry shutdown", daemon=True)
    ending.start()
    await asyncio.to_thread(ending.join, SHUTDOWN_S)

"""OpenTelemetry: one trace from the HTTP request through AMQP headers to the SQL transaction.

Spans are always made and propagated; they are exported where OTEL_EXPORTER_OTLP_ENDPOINT says so.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from opentelemetry import context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.util.types import AttributeValue

from shared.settings import Settings

LINKED = 8  # messages that a group's span links to, at most: each link costs as much as two messages' decoding

_tracer = trace.get_tracer("tripthread.group_commit")


class Carrier(Protocol):
    """A message that may say which trace it is part of."""

    @property
    def headers(self) -> Mapping[str, object]: ...


def configure_telemetry(settings: Settings, service: str) -> TracerProvider:
    """Make this process's tracer provider; the caller shuts it down."""
    resource = Resource.create({SERVICE_NAME: f"tripthread-{service}", SERVICE_INSTANCE_ID: settings.instance})
    provider = TracerProvider(resource=resource)
    if settings.otel_exporter_otlp_endpoint:
        # Imported here because it brings requests and protobuf, which a process that exports nothing need not hold.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

        endpoint = settings.otel_exporter_otlp_endpoint.rstrip("/") + "/v1/traces"
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    trace.set_tracer_provider(provider)
    return provider


def inject() -> dict[str, str]:
    """Return the headers (`traceparent`) that carry the current span to whoever hears this message."""
    headers: dict[str, str] = {}
    propagate.inject(headers)
    return headers


def extract(headers: Mapping[str, object]) -> Context:
    """Read the context that a message or request came with; an empty one where it has none."""
    carrier = {key.lower(): value for key, value in headers.items() if isinstance(value, str)}
    return propagate.extract(carrier, context=context.Context())


def passed_on(headers: Mapping[str, object]) -> dict[str, str]:
    """Return the headers with which a message that is sent again goes on with its trace; none where it has none.

    They are spelled anew: what a stranger has sent may be no trace, or larger than a frame.
    """
    carried: dict[str, str] = {}
    propagate.inject(carried, context=extract({"traceparent": headers.get("traceparent")}))
    return carried


def link(headers: Mapping[str, object]) -> trace.Link | None:
    """Make a link to the span that a message came from, for a span that serves many messages."""
    origin = trace.get_current_span(extract(headers)).get_span_context()
    return trace.Link(origin) if origin.is_valid else None


def group_span(queue: str, group: Sequence[Carrier], *, exporting: bool) -> AbstractContextManager[object]:
    """Span the commit of some messages.

    It continues the trace of a lone message; that of a group links to some of those it serves.
    """
    if len(group) > 1 and not exporting:
        return nullcontext()  # a trace of its own, which nobody would see
    attributes: dict[str, AttributeValue] = {
        "messaging.destination.name": queue,
        "messaging.batch.message_count": len(group),
    }
    context = extract(group[0].headers) if len(group) == 1 else None
    links = [origin for each in group[:LINKED] if (origin := link(each.headers))] if context is None else []
    return _tracer.start_as_current_span(f"{queue} process", context=context, links=links, attributes=attributes)

"""The spans of messages, as OpenTelemetry's conventions for messaging and for RabbitMQ name them.

https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/ and .../messaging/rabbitmq/, of version 1.44.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from opentelemetry import trace
from opentelemetry.util.types import AttributeValue

from shared.process.telemetry import extract, is_unseen, link, spanning

LINKED = 8  # messages that a group's span links to, at most: each link costs as much as two messages' decoding

_tracer = trace.get_tracer("tripthread.messages")


class Carrier(Protocol):
    """A message that may say which trace it is part of."""

    @property
    def headers(self) -> Mapping[str, object]: ...


def send_span(exchange: str, routing_key: str, message_id: str | None, size: int) -> AbstractContextManager[object]:
    """Span the sending of one message, its confirm included; what is injected meanwhile continues this span.

    Args:
        exchange: Empty for the default one, whose routing key is a queue.
        routing_key: Empty for a fanout.
        message_id: Where it has one.
        size: Of the body, in bytes.
    """
    if is_unseen():
        return nullcontext()
    destination = ":".join(part for part in (exchange, routing_key) if part)
    attributes = _attributes("send", destination) | {"messaging.message.body.size": size}
    if routing_key:
        attributes["messaging.rabbitmq.destination.routing_key"] = routing_key
    if message_id:
        attributes["messaging.message.id"] = message_id
    return spanning(_tracer, f"send {destination}", trace.SpanKind.PRODUCER, attributes)


def process_span(queue: str, group: Sequence[Carrier], *, exporting: bool) -> AbstractContextManager[object]:
    """Span the commit of some messages.

    It continues the trace of a lone message; that of a group links to some of those it serves.
    """
    if len(group) > 1 and not exporting:
        return nullcontext()  # a trace of its own, which nobody would see
    attributes = _attributes("process", queue) | {"messaging.batch.message_count": len(group)}
    origin = extract(group[0].headers) if len(group) == 1 else None
    links = [link_ for each in group[:LINKED] if (link_ := link(each.headers))] if origin is None else []
    return spanning(_tracer, f"process {queue}", trace.SpanKind.CONSUMER, attributes, origin=origin, links=links)


def _attributes(operation: str, destination: str) -> dict[str, AttributeValue]:
    return {
        "messaging.system": "rabbitmq",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": destination,
    }

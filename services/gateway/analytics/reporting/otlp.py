"""Read the spans of an OTLP/HTTP request: protobuf or JSON, perhaps packed by gzip. Pure.

https://opentelemetry.io/docs/specs/otlp/ of version 1.9. In JSON ids are hexadecimal, numbers of 64 bits may be
texts, and fields that are not known are passed over.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from services.gateway.http.requests.json_body import read_json
from shared.errors import Invalid, Refused, TooLarge, UnsupportedMedia

if TYPE_CHECKING:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

MOST_INFLATED = 4_000_000  # bytes
MOST_NODES = 300_000  # keys and values of JSON
MOST_SPANS = 5000
FAILED = 2  # STATUS_CODE_ERROR
GZIP_WINDOW = 16 + zlib.MAX_WBITS

Kind = Literal["protobuf", "json"]


class Malformed(Refused):
    """This is no OTLP request."""


@dataclass(frozen=True)
class SpanEvent:
    name: str
    time_ns: int
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Span:
    """A span, with what its resource says of who sent it."""

    trace_id: str  # hexadecimal
    span_id: str
    start_ns: int
    end_ns: int
    failed: bool
    message: str
    attributes: dict[str, Any]
    events: tuple[SpanEvent, ...] = ()
    resource: dict[str, Any] = field(default_factory=dict)


def kind_of(content_type: str) -> Kind:
    """Tell which encoding a body has.

    Raises:
        UnsupportedMedia: None of the two.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in ("application/x-protobuf", "application/protobuf"):
        return "protobuf"
    if media_type == "application/json":
        return "json"
    raise UnsupportedMedia("Send application/x-protobuf or application/json.")


def unpacked(body: bytes, encoding: str) -> bytes:
    """Unpack a body, as far as it may be long.

    Raises:
        UnsupportedMedia: It is packed in another way.
        TooLarge: It is longer.
        Malformed: It is no gzip.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding != "gzip":
        raise UnsupportedMedia("Send it as it is, or with `Content-Encoding: gzip`.")
    unpacking = zlib.decompressobj(GZIP_WINDOW)
    try:
        plain = unpacking.decompress(body, MOST_INFLATED + 1)
    except zlib.error as error:
        raise Malformed("The body is no gzip.") from error
    if len(plain) > MOST_INFLATED:
        raise TooLarge(f"A body may have at most {MOST_INFLATED} bytes when it is unpacked.")
    if not unpacking.eof or unpacking.unused_data:
        raise Malformed("The body is not one whole gzip.")
    return plain


def read_spans(body: bytes, kind: Kind) -> list[Span]:
    """Return all spans.

    Raises:
        Malformed: The body is none.
        TooLarge: There are too many.
    """
    spans: list[Span] = []
    for span in _of_protobuf(body) if kind == "protobuf" else _of_json(body):
        spans.append(span)
        if len(spans) > MOST_SPANS:
            raise TooLarge(f"A request may have at most {MOST_SPANS} spans.")
    return spans


def _of_protobuf(body: bytes) -> Iterator[Span]:
    for spans in _parsed(body).resource_spans:
        resource = _attributes(spans.resource.attributes)
        for scope in spans.scope_spans:
            for span in scope.spans:
                yield Span(
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    start_ns=span.start_time_unix_nano,
                    end_ns=span.end_time_unix_nano,
                    failed=span.status.code == FAILED,
                    message=span.status.message,
                    attributes=_attributes(span.attributes),
                    events=tuple(
                        [
                            SpanEvent(each.name, each.time_unix_nano, _attributes(each.attributes))
                            for each in span.events
                        ]
                    ),
                    resource=resource,
                )


def _parsed(body: bytes) -> "ExportTraceServiceRequest":
    # Here, because it brings protobuf, which a gateway that is told of no spans need not hold.
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415
        ExportTraceServiceRequest,
    )

    try:
        request: ExportTraceServiceRequest = ExportTraceServiceRequest.FromString(body)
    except Exception as error:
        raise Malformed("The body is no ExportTraceServiceRequest.") from error
    return request


def _attributes(pairs: "Any | list[KeyValue]") -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: "AnyValue") -> Any:
    """Return a plain value or a list of such; of what is nested nothing, since nothing of it is read."""
    which = value.WhichOneof("value")
    if which == "array_value":
        return [_plain(each) for each in value.array_value.values]
    return _plain(value)


def _plain(value: "AnyValue") -> Any:
    which = value.WhichOneof("value")
    return getattr(value, which) if which in ("string_value", "bool_value", "int_value", "double_value") else None


def _of_json(body: bytes) -> Iterator[Span]:
    try:
        document = read_json(body, MOST_NODES)
    except Invalid as error:
        raise Malformed(error.detail) from error
    for spans in _objects(_object(document), "resourceSpans"):
        resource = _json_attributes(_object(spans.get("resource", {})))
        for scope in _objects(spans, "scopeSpans"):
            for span in _objects(scope, "spans"):
                yield _span_of(span, resource)


def _span_of(span: dict[str, Any], resource: dict[str, Any]) -> Span:
    status = _object(span.get("status") or {})
    return Span(
        trace_id=_text(span.get("traceId")).lower(),
        span_id=_text(span.get("spanId")).lower(),
        start_ns=_whole(span.get("startTimeUnixNano")),
        end_ns=_whole(span.get("endTimeUnixNano")),
        failed=status.get("code") in (FAILED, "STATUS_CODE_ERROR"),
        message=_text(status.get("message")),
        attributes=_json_attributes(span),
        events=tuple(
            [
                SpanEvent(_text(each.get("name")), _whole(each.get("timeUnixNano")), _json_attributes(each))
                for each in _objects(span, "events")
            ]
        ),
        resource=resource,
    )


def _json_attributes(owner: dict[str, Any]) -> dict[str, Any]:
    return {
        _text(pair.get("key")): _json_value(_object(pair.get("value") or {})) for pair in _objects(owner, "attributes")
    }


def _json_value(value: dict[str, Any]) -> Any:
    if "arrayValue" in value:
        return [_json_plain(each) for each in _objects(_object(value["arrayValue"]), "values")]
    return _json_plain(value)


def _json_plain(value: dict[str, Any]) -> Any:
    if "intValue" in value:
        return _whole(value["intValue"])
    found = next((value[name] for name in ("stringValue", "boolValue", "doubleValue") if name in value), None)
    return found if isinstance(found, str | bool | int | float) else None


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Malformed("Something that must be an object is none.")
    return value


def _objects(owner: dict[str, Any], name: str) -> list[dict[str, Any]]:
    values = owner.get(name) or []
    if not isinstance(values, list) or not all(isinstance(each, dict) for each in values):
        raise Malformed(f"`{name}` must be a list of objects.")
    return values


def _text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Malformed("Something that must be a text is none.")
    return value


def _whole(value: Any) -> int:
    """Read a number of 64 bits, which may be a text."""
    try:
        number = int(value) if isinstance(value, str | int) and not isinstance(value, bool) else 0
    except ValueError as error:
        raise Malformed("Something that must be a number is none.") from error
    if not -(2**63) <= number < 2**64:
        raise Malformed("A number has more than 64 bits.")
    return number

"""Spans of other applications as traces: those that are one call of a model, by whichever names they are told. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from pydantic import ValidationError

from services.gateway.analytics.reporting.new_trace import LONGEST_ERROR, Judged
from services.gateway.analytics.reporting.otlp import Span
from services.gateway.http.answers.problems import invalid
from services.gateway.model.measuring import genai_names as names
from shared.errors import Invalid
from shared.events import ReportedTrace
from shared.ids import is_client_id

LONGEST = 255
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
IDS = (32, 16)  # hexadecimal digits of a trace's id and a span's
EXCEPTION = "exception"  # the event that tells of an error: its attributes are `exception.type` and `exception.message`


def is_call(span: Span) -> bool:
    """Tell whether a span is one call of a model, and not what is around one: an agent, a tool, a search."""
    found = span.attributes
    kind = found.get(names.OPENINFERENCE_KIND)
    if kind is not None:
        return kind in names.OPENINFERENCE_CALLS
    if names.OPENLLMETRY_STEP in found:
        return False
    operation = found.get(names.OPERATION)
    if operation is not None:
        return operation in names.CALLS
    if names.OPENLLMETRY_CALL in found:
        return found[names.OPENLLMETRY_CALL] in names.OPENLLMETRY_CALLS
    return names.REQUEST_MODEL in found


def read_call(span: Span) -> Judged:
    """Make the trace of a call; one that cannot be says why."""
    try:
        return ReportedTrace.model_validate(_fields(span))
    except ValidationError as error:
        return invalid([{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors(include_url=False)])
    except Invalid as error:
        return error


def _fields(span: Span) -> dict[str, Any]:
    found = span.attributes
    inputs, outputs = _count(found, names.INPUTS), _count(found, names.OUTPUTS)
    session_id, ttft_ms = _text(found, names.SESSIONS), _ttft_ms(span)
    return {
        "trace_id": _trace_id(span),
        "source": "otlp",
        "w3c_trace_id": span.trace_id,
        "session_id": session_id if session_id is not None and is_client_id(session_id) else None,
        "session_tag": _text(found, names.SESSION_TAGS),
        "experiment_name": _text(found, names.EXPERIMENTS),
        "helper": _text(found, names.HELPERS),
        "provider": _text(found, names.PROVIDERS),
        "model": _text(found, names.MODELS) or "unknown",
        "status": "error" if span.failed else "ok",
        "started_at": _started_at(span),
        "duration_ms": (span.end_ns - span.start_ns) / 1e6,
        "ttft_ms": ttft_ms,
        "input_tokens": inputs,
        "output_tokens": outputs,
        "usage_source": None if inputs is None and outputs is None else "reported",
        "finish_reason": _finish_reason(found),
        **(_error(span) if span.failed else {}),
        "streaming": ttft_ms is not None or any(found.get(name) in (True, "true", "True") for name in names.STREAMS),
        **_cost(found.get(names.COST_USD)),
        "attributes": _kept(span, session_id),
    }


def _trace_id(span: Span) -> str:
    for text, digits in zip((span.trace_id, span.span_id), IDS, strict=True):
        if len(text) != digits or not set(text) <= set("0123456789abcdef") or not text.strip("0"):
            raise Invalid("Its trace id or span id is none.")
    return f"{span.trace_id}-{span.span_id}"


def _started_at(span: Span) -> datetime:
    if span.start_ns <= 0 or span.end_ns < span.start_ns:
        raise Invalid("It ends before it begins, or has no beginning or end.")
    return EPOCH + timedelta(microseconds=span.start_ns // 1000)


def _text(found: Mapping[str, Any], wanted: Iterable[str]) -> str | None:
    for name in wanted:
        value = found.get(name)
        if isinstance(value, str) and value:
            return value.replace("\x00", "")
    return None


def _number(value: Any) -> float | None:
    """Read a number, which some write as a text."""
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _count(found: Mapping[str, Any], wanted: Iterable[str]) -> int | None:
    number = next((number for name in wanted if (number := _number(found.get(name))) is not None), None)
    return None if number is None else int(number)


def _ttft_ms(span: Span) -> float | None:
    seconds = next((s for name in names.FIRST_CHUNKS_S if (s := _number(span.attributes.get(name))) is not None), None)
    if seconds is not None:
        return seconds * 1000
    first = next((event for event in span.events if event.name == names.FIRST_TOKEN_EVENT), None)
    return (first.time_ns - span.start_ns) / 1e6 if first is not None else None


def _finish_reason(found: Mapping[str, Any]) -> str | None:
    value = next((found[name] for name in names.FINISHED if found.get(name)), None)
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = value[0]
    return value.strip('[]"')[:LONGEST].replace("\x00", "") if isinstance(value, str) else None


def _error(span: Span) -> dict[str, str | None]:
    """Say what went wrong, by the span itself or by the last exception that it tells of."""
    told = next((event.attributes for event in reversed(span.events) if event.name == EXCEPTION), {})
    kind = _text(span.attributes, (names.ERROR_TYPE,)) or _text(told, ("exception.type",)) or "error"
    text = span.message.replace("\x00", "") or _text(told, ("exception.message",))
    return {"error": text and text[:LONGEST_ERROR], "error_class": kind[:LONGEST]}


def _cost(value: Any) -> dict[str, Any]:
    """Read a cost in dollars, to a millionth of a cent: it comes as a binary fraction."""
    try:
        cost = round(Decimal(str(value)), 8) if _number(value) is not None else None
    except InvalidOperation:
        cost = None
    return {} if cost is None else {"cost": cost, "currency": "USD"}


def _kept(span: Span, session_id: str | None) -> dict[str, Any]:
    """Keep what tells more of the call, and nothing in which something that was said may stand."""
    found = {**span.resource, **span.attributes}
    kept = {name: value for name in names.KEPT if (value := _short(found.get(name))) is not None}
    if session_id is not None and not is_client_id(session_id):
        kept[names.CONVERSATION] = session_id[:LONGEST]
    return kept


def _short(value: Any) -> Any:
    if isinstance(value, str):
        return value[:LONGEST].replace("\x00", "")
    return value if isinstance(value, bool | int) or _number(value) is not None else None

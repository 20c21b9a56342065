"""What an application tells of one call of a model, judged by itself: one that is bad spoils no other. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Self
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from services.gateway.analytics.traces.record import Status
from services.gateway.http.answers.problems import invalid
from services.gateway.http.requests.fields import Instant, Json, Name, SessionId
from shared.errors import Invalid
from shared.events import Amount, Currency, Milliseconds, ReportedTrace, Tokens, W3cTraceId
from shared.ids import NAMESPACE, derived_id, new_id, scoped

MOST = 1000  # in one list
LONGEST_ERROR = 4000
MOST_ATTRIBUTES_BYTES = 16_384
AHEAD = timedelta(minutes=5)  # that another clock may be

ErrorText = Annotated[str, StringConstraints(max_length=LONGEST_ERROR, pattern=r"^[^\x00]*$")]


class NewTrace(BaseModel):
    """The start of a call, or its end, or both at once."""

    model_config = ConfigDict(extra="forbid")

    trace_id: SessionId | None = None  # none: one of ours
    status: Status
    model: Name
    started_at: Instant
    session_id: SessionId | None = None
    session_tag: Name | None = None
    experiment_name: Name | None = None
    helper: Name | None = None
    provider: Name | None = None
    upstream: Name | None = None
    ttft_ms: Milliseconds | None = None
    duration_ms: Milliseconds | None = None
    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    finish_reason: Name | None = None
    error: ErrorText | None = None
    error_class: Name | None = None
    streaming: bool = False
    cost: Amount | None = None
    currency: Currency | None = None
    w3c_trace_id: W3cTraceId | None = None
    attributes: Json = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.cost is None) != (self.currency is None):
            raise ValueError("cost and currency go together")
        if self.ttft_ms is not None and self.duration_ms is not None and self.ttft_ms > self.duration_ms:
            raise ValueError("ttft_ms is longer than duration_ms")
        if self.attributes and len(orjson.dumps(self.attributes)) > MOST_ATTRIBUTES_BYTES:
            raise ValueError(f"attributes have more than {MOST_ATTRIBUTES_BYTES} bytes")
        return self


Judged = ReportedTrace | Invalid


def read_traces(body: Any, user_id: str, key: str | None) -> list[Judged]:
    """Read one trace or a list of them, each of which is good or says what is wrong with it.

    Args:
        body: As it came.
        user_id: Whose they are to be.
        key: Of the request; a repeat makes the same ids.

    Raises:
        Invalid: It is neither, or a list of none or too many.
    """
    items = body if isinstance(body, list) else [body]
    if not 1 <= len(items) <= MOST:
        raise Invalid(f"Send one trace, or a list of 1 to {MOST}.")
    return [_read(item, trace_id_of(user_id, key, index)) for index, item in enumerate(items)]


def trace_id_of(user_id: str, key: str | None, index: int) -> UUID:
    return new_id() if key is None else derived_id(NAMESPACE, f"trace/{scoped(user_id, key)}/{index}")


def _read(item: Any, usual_id: UUID) -> Judged:
    try:
        told = NewTrace.model_validate(item)
    except ValidationError as error:
        return invalid([{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors(include_url=False)])
    counted = told.input_tokens is not None or told.output_tokens is not None
    return ReportedTrace(
        **told.model_dump(exclude={"trace_id"}),
        trace_id=told.trace_id or str(usual_id),
        usage_source="reported" if counted else None,
    )


def not_from_the_future(judged: Sequence[Judged], now: datetime) -> list[Judged]:
    """Refuse what is told to have begun later than any clock may be wrong."""
    return [
        Invalid("started_at: is in the future")
        if isinstance(each, ReportedTrace) and each.started_at > now + AHEAD
        else each
        for each in judged
    ]

"""A trace as its readers have it. Field names follow OpenTelemetry's GenAI conventions where these have one."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel

from services.gateway.http.requests.fields import Json
from services.gateway.http.requests.pages import Page

Status = Literal["running", "ok", "error", "stopped", "interrupted"]


class Trace(BaseModel):
    """One call of a model."""

    trace_id: str  # of a turn's: its answer's id
    user_id: str
    session_id: str | None = None
    session_tag: str | None = None
    experiment_name: str | None = None
    source: Literal["turn", "api", "otlp"] = "turn"
    status: Status
    hung: bool = False  # it runs, and its gateway has not been heard of for 30 s
    provider: str | None = None
    model: str
    upstream: str | None = None
    helper: str | None = None
    started_at: datetime
    ttft_ms: float | None = None
    duration_ms: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    usage_source: Literal["reported", "estimated"] | None = None
    cost: str | None = None  # an exact decimal
    currency: str | None = None
    finish_reason: str | None = None
    error: str | None = None
    error_class: str | None = None
    streaming: bool = True
    w3c_trace_id: str | None = None
    message_id: str | None = None  # the answer
    turn_id: UUID | None = None


class Links(BaseModel):
    """Where what a trace is about is read; none where it is about nothing that is here."""

    session: str | None = None
    messages: str | None = None
    trip: str | None = None


class WholeTrace(Trace):
    question_id: str | None = None  # the message that the answer is to
    trip_id: UUID | None = None
    attributes: Json = {}  # what else its sender has told
    links: Links = Links()


class TracePage(Page):
    traces: list[Trace]

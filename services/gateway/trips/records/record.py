"""A trip as its conversation sees it; docs/http.md says what each field is for."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from services.gateway.http.requests.fields import Json
from services.gateway.http.requests.pages import Page
from services.gateway.sessions.status import TripStatus


class Segment(BaseModel):
    """One flight; date and time are local at the departure airport."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    from_icao: str | None = Field(None, alias="from")
    to_icao: str | None = Field(None, alias="to")
    date: str | None = None
    time: str | None = None


class TripRequest(BaseModel):
    """What a user asked for, and whether Avinode has it."""

    id: UUID
    segments: list[Segment]
    pax: int
    criteria: Json
    state: str
    error: str | None
    created_at: datetime


class Cancellation(BaseModel):
    """A user's wish that Avinode cancels it, and what became of that."""

    state: Literal["intended", "done", "refused"]
    reason: str
    message: str | None
    error: str | None  # why it has not happened yet, or does not
    event_id: UUID = Field(exclude=True)
    updated_at: datetime


class Lift(BaseModel):
    """One aircraft that an operator was asked for, and what the operator said to it."""

    id: str
    aircraft_type: str | None
    aircraft_category: str | None
    aircraft_tail: str | None
    sourcing_status: str | None


class Rfq(BaseModel):
    id: str
    operator_id: str | None
    operator_name: str | None
    canceled: bool
    declined: bool
    decline_reason: str | None
    lifts: list[Lift]
    created_at: datetime


class Quote(BaseModel):
    id: str
    rfq_id: str
    operator_name: str | None
    lift_id: str | None
    aircraft_type: str | None
    estimate: bool  # Avinode's own, which counts for nothing
    current: bool  # false: a later quote replaced it
    price_cents: int | None
    currency: str | None
    message: str | None
    quoted_at: datetime | None


class Proposal(BaseModel):
    """A proposal in short; `GET /api/proposals/{id}` shows all of it."""

    id: UUID
    state: str
    quote_ids: list[str]
    margin_percent: float | None
    note: str | None
    prepared_at: datetime
    sent_at: datetime | None


class TripMessage(BaseModel):
    """Something an operator or a broker wrote at Avinode."""

    id: str
    rfq_id: str | None
    kind: str
    sender: str | None
    content: str | None
    reason: str | None  # of a decline
    quote_id: str | None
    sent_at: datetime | None


class TimelineEntry(BaseModel):
    at: datetime
    what: str
    text: str | None = None
    id: str | None = None  # of what it is about


class TripRow(BaseModel):
    """A trip in a list, or a session that is about none yet."""

    id: UUID | None  # none: of a session without a trip
    conversation_id: str  # the session's id
    conversation_subject: str | None  # the session's title
    iso_agent_id: str  # the user's id
    request_id: UUID | None
    status: TripStatus
    outcome: str | None
    current_step: str
    avinode_trip_id: str | None
    trip_code: str | None  # the six characters that people see at Avinode
    avinode_rfp_id: str | None
    avinode_rfq_id: str | None
    deep_link: str | None
    departure_airport: str | None
    arrival_airport: str | None
    departure_date: str | None
    pax: int | None
    primary_quote_id: str | None  # until somebody chooses one, the first that a seller stands to
    operator_name: str | None  # here and below: of the primary quote
    aircraft_type: str | None
    price_cents: int | None
    currency: str | None
    proposal_id: UUID | None
    workflow_state: Json
    message_count: int
    operators_contacted_count: int
    quotes_expected_count: int
    quotes_received_count: int
    session_started_at: datetime
    session_ended_at: datetime | None
    last_activity_at: datetime
    last_checked_at: datetime | None  # when Avinode was last read
    problem: str | None  # why the last reading or creation at Avinode failed
    metadata: Json
    created_at: datetime
    updated_at: datetime

    def without_words(self) -> Self:
        """Return the same without what its user has written."""
        return self.model_copy(update={"conversation_subject": None, "workflow_state": {}, "metadata": {}})


class Trip(TripRow):
    """A trip with everything that is known of it."""

    id: UUID
    segments: list[Segment]
    request: TripRequest | None
    cancellation: Cancellation | None = None
    rfqs: list[Rfq]
    quotes: list[Quote]
    proposals: list[Proposal]
    messages: list[TripMessage]
    timeline: list[TimelineEntry]

    @property
    def unconfirmed(self) -> bool:
        """Tell whether nobody knows if Avinode has this trip: it gives way to one that is attached."""
        return self.request is not None and self.request.state == "unconfirmed"


class TripPage(Page):
    trips: list[TripRow]


class TripAnswer(BaseModel):
    trip: Trip
    stored: bool


def timeline_of(
    row: TripRow,
    *,
    request: TripRequest | None,
    rfqs: Iterable[Rfq],
    messages: Iterable[TripMessage],
    proposals: Iterable[Proposal],
) -> list[TimelineEntry]:
    """Put everything that happened to a trip in order."""
    entries = [*_asked(row, request), *_at_avinode(rfqs, messages), *_proposed(proposals)]
    if row.session_ended_at is not None:
        entries.append(TimelineEntry(at=row.session_ended_at, what=row.outcome or "ended"))
    return sorted(entries, key=lambda entry: entry.at)


def _asked(row: TripRow, request: TripRequest | None) -> Sequence[TimelineEntry]:
    if request is None:
        return [TimelineEntry(at=row.session_started_at, what="attached", id=row.avinode_trip_id or row.trip_code)]
    return [TimelineEntry(at=request.created_at, what="requested", text=request.error, id=str(request.id))]


def _at_avinode(rfqs: Iterable[Rfq], messages: Iterable[TripMessage]) -> Iterable[TimelineEntry]:
    for rfq in rfqs:
        yield TimelineEntry(at=rfq.created_at, what="rfq", text=rfq.operator_name, id=rfq.id)
    for message in messages:
        if message.sent_at is not None:
            yield TimelineEntry(at=message.sent_at, what=message.kind, text=message.content, id=message.id)


def _proposed(proposals: Iterable[Proposal]) -> Iterable[TimelineEntry]:
    for proposal in proposals:
        yield TimelineEntry(at=proposal.prepared_at, what="proposal_prepared", text=proposal.note, id=str(proposal.id))
        if proposal.sent_at is not None:
            yield TimelineEntry(at=proposal.sent_at, what="proposal_sent", id=str(proposal.id))

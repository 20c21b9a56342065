"""What a user orders: a trip to be created at Avinode, or one that is there to be attached. Pure."""

from datetime import date
from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictInt,
    StrictStr,
    StringConstraints,
    Tag,
    WithJsonSchema,
)

from services.gateway.schemas import Json
from services.gateway.trip_record import FIRST_STEP, Segment, Trip, TripRequest, TripRow, timeline_of
from shared.events import Segment as OrderedSegment
from shared.events import TripAttached, TripRequested
from shared.ids import NAMESPACE, derived_id, new_id, scoped


def _real_date(text: str) -> str:
    date.fromisoformat(text)
    return text


def _spelled(reference: str) -> str:
    """Spell a reference as it is stored: ids in small letters, codes in capitals."""
    return reference.lower() if "-" in reference else reference.upper()


def _whole(value: Any) -> Any:
    """Take 4.0 for 4, as JSON Schema does; `StrictInt` refuses the rest that pydantic would make a number of."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WholeNumber = Annotated[StrictInt, BeforeValidator(_whole)]
IcaoCode = Annotated[StrictStr, StringConstraints(pattern=r"^[A-Z]{4}$")]
Day = Annotated[
    StrictStr,
    StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"),
    AfterValidator(_real_date),
    WithJsonSchema({"type": "string", "format": "date"}),
]
TimeOfDay = Annotated[StrictStr, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
TripReference = Annotated[
    str, StringConstraints(pattern=r"^(atrip-[0-9]{1,30}|[A-Za-z0-9]{4,12})$"), AfterValidator(_spelled)
]


class OrderedFlight(BaseModel):
    model_config = ConfigDict(extra="forbid")

    origin: IcaoCode = Field(alias="from")
    destination: IcaoCode = Field(alias="to")
    date: Day  # here and below: local at the departure airport
    time: TimeOfDay | None = None


class NewTrip(BaseModel):
    model_config = ConfigDict(extra="forbid")

    segments: list[OrderedFlight] = Field(min_length=1, max_length=20)
    pax: WholeNumber = Field(ge=1, le=999)
    criteria: Json = Field(default_factory=dict)


class AttachTrip(BaseModel):
    model_config = ConfigDict(extra="forbid")

    avinode_trip_id: TripReference


def _kind(body: Any) -> str:
    is_attached = isinstance(body, AttachTrip) or (isinstance(body, dict) and "avinode_trip_id" in body)
    return "<attach>" if is_attached else "<new>"


TripOrder = Annotated[Annotated[NewTrip, Tag("<new>")] | Annotated[AttachTrip, Tag("<attach>")], Discriminator(_kind)]


def begun_by(
    order: NewTrip | AttachTrip, user_id: str, session_id: str, key: str | None, correlation_id: UUID
) -> TripRequested | TripAttached:
    """Make the event of an order; with the same key of the same session it is the same event about the same trip."""
    trip_id = derived_id(NAMESPACE, f"trip/{scoped(user_id, session_id)}/{key}") if key else new_id()
    if isinstance(order, AttachTrip):
        return TripAttached(
            event_id=derived_id(trip_id, f"{TripAttached.__name__}/{order.avinode_trip_id}"),
            correlation_id=correlation_id,
            user_id=user_id,
            session_id=session_id,
            trip_id=trip_id,
            avinode_trip_id=order.avinode_trip_id,
        )
    return TripRequested(
        event_id=derived_id(trip_id, TripRequested.__name__),
        correlation_id=correlation_id,
        user_id=user_id,
        session_id=session_id,
        trip_id=trip_id,
        request_id=derived_id(trip_id, "request"),
        segments=tuple(
            OrderedSegment(from_icao=leg.origin, to_icao=leg.destination, date=leg.date, time=leg.time)
            for leg in order.segments
        ),
        pax=order.pax,
        criteria=order.criteria,
    )


def expected_trip(event: TripRequested | TripAttached, message_count: int) -> Trip:
    """Show the record that this event is going to make."""
    request = _expected_request(event) if isinstance(event, TripRequested) else None
    segments = request.segments if request else []
    row = TripRow(
        id=event.trip_id,
        conversation_id=event.session_id,
        iso_agent_id=event.user_id,
        request_id=request.id if request else None,
        status="active",
        outcome=None,
        current_step=FIRST_STEP,
        avinode_trip_id=_reference(event, is_id=True),
        trip_code=_reference(event, is_id=False),
        avinode_rfp_id=None,
        avinode_rfq_id=None,
        deep_link=None,
        departure_airport=segments[0].from_icao if segments else None,
        arrival_airport=segments[-1].to_icao if segments else None,
        departure_date=segments[0].date if segments else None,
        pax=request.pax if request else None,
        primary_quote_id=None,
        operator_name=None,
        aircraft_type=None,
        price_cents=None,
        currency=None,
        proposal_id=None,
        workflow_state={},
        message_count=message_count,
        operators_contacted_count=0,
        quotes_expected_count=0,
        quotes_received_count=0,
        session_started_at=event.occurred_at,
        session_ended_at=None,
        last_activity_at=event.occurred_at,
        last_checked_at=None,
        problem=None,
        metadata={},
        created_at=event.occurred_at,
        updated_at=event.occurred_at,
    )
    return Trip(
        **row.model_dump(),
        segments=segments,
        request=request,
        rfqs=[],
        quotes=[],
        proposals=[],
        messages=[],
        timeline=timeline_of(row, request=request, rfqs=[], messages=[], proposals=[]),
    )


def _expected_request(event: TripRequested) -> TripRequest:
    return TripRequest(
        id=event.request_id,
        segments=[Segment(**leg.model_dump()) for leg in event.segments],
        pax=event.pax,
        criteria=event.criteria,
        state="intended",
        error=None,
        created_at=event.occurred_at,
    )


def _reference(event: TripRequested | TripAttached, *, is_id: bool) -> str | None:
    if isinstance(event, TripRequested):
        return None
    return event.avinode_trip_id if event.avinode_trip_id.startswith("atrip-") == is_id else None

"""What a user orders: a trip to be created at Avinode, or one that is there to be attached."""

import re
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictStr,
    StringConstraints,
    Tag,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from services.gateway.http.requests.fields import Json, WholeNumber
from services.gateway.http.write_headers import Write
from shared.events import Segment, TripAttached, TripRequested
from shared.ids import NAMESPACE, derived_id, new_id, scoped

REFERENCE = r"^(atrip-[0-9]{1,30}|[A-Za-z0-9]{4,12})$"
# Where the day ends last, UTC-12: what is past there is past everywhere.
LAST_ZONE = timedelta(hours=-12)


def _day_to_come(text: str) -> str:
    """Refuse a day that is none, or that nobody can fly on any more; airports' time zones are Avinode's to know."""
    if date.fromisoformat(text) < (datetime.now(UTC) + LAST_ZONE).date():
        raise ValueError("is in the past")
    return text


def _spelled(reference: str) -> str:
    """Spell a reference as it is stored: ids in small letters, codes in capitals."""
    if not re.fullmatch(REFERENCE, reference):
        raise ValueError("must be `atrip-` and digits, or the code of 4 to 12 letters and digits that people see")
    return reference.lower() if "-" in reference else reference.upper()


def _named(text: Any) -> UUID | str:
    """Read what a trip is called in a path, or by a model: our id for it, or a reference."""
    if not isinstance(text, str):
        raise ValueError("must be a text")
    with suppress(ValueError):
        return UUID(text)
    try:
        return _spelled(text)
    except ValueError as error:
        raise ValueError(f"must be a UUID of ours; else it {error}") from error


IcaoCode = Annotated[StrictStr, StringConstraints(pattern=r"^[A-Z]{4}$")]
Day = Annotated[
    StrictStr,
    StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"),
    AfterValidator(_day_to_come),
    WithJsonSchema({"type": "string", "format": "date"}),
]
TimeOfDay = Annotated[StrictStr, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
TripReference = Annotated[StrictStr, AfterValidator(_spelled), WithJsonSchema({"type": "string", "pattern": REFERENCE})]
TripName = Annotated[
    UUID | str,
    BeforeValidator(_named),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "uuid"}, {"type": "string", "pattern": REFERENCE}]}),
]


class OrderedFlight(BaseModel):
    model_config = ConfigDict(extra="forbid")

    origin: IcaoCode = Field(alias="from")
    destination: IcaoCode = Field(alias="to")
    date: Day  # here and below: local at the departure airport
    time: TimeOfDay | None = None

    @field_validator("destination")
    @classmethod
    def _is_elsewhere(cls, destination: str, known: ValidationInfo) -> str:
        """Refuse a flight that goes nowhere; Avinode shows no such segment."""
        if destination == known.data.get("origin"):
            raise ValueError("must be another airport than `from`")
        return destination


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
    order: NewTrip | AttachTrip, write: Write, user_id: str, session_id: str, accepted_at: datetime | None = None
) -> TripRequested | TripAttached:
    """Make the event of an order, accepted at this moment of the database's clock.

    With the same key of the same session a request is the same event about the same trip, and so is an attachment by
    the same reference: by another one it is another order, whatever its key.
    """
    named = order.avinode_trip_id if isinstance(order, AttachTrip) else _kind(order)
    repeated = f"trip/{scoped(user_id, session_id)}/{named}/{write.key}"
    trip_id = derived_id(NAMESPACE, repeated) if write.key else new_id()
    if isinstance(order, AttachTrip):
        return TripAttached(
            event_id=derived_id(trip_id, TripAttached.__name__),
            correlation_id=write.correlation_id,
            accepted_at=accepted_at,
            user_id=user_id,
            session_id=session_id,
            trip_id=trip_id,
            avinode_trip_id=order.avinode_trip_id,
        )
    return TripRequested(
        event_id=derived_id(trip_id, TripRequested.__name__),
        correlation_id=write.correlation_id,
        accepted_at=accepted_at,
        user_id=user_id,
        session_id=session_id,
        trip_id=trip_id,
        request_id=derived_id(trip_id, "request"),
        segments=tuple(
            Segment(from_icao=leg.origin, to_icao=leg.destination, date=leg.date, time=leg.time)
            for leg in order.segments
        ),
        pax=order.pax,
        criteria=order.criteria,
    )

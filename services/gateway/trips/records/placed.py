"""What became of an order: the trip that it is, or why it is none. Pure."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.gateway.http.requests.fields import Json
from services.gateway.trips.records.expected import expected_trip
from services.gateway.trips.records.record import Trip
from shared.errors import NoSuchTrip, Refused, TripOpen
from shared.events import TripAttached, TripRequested


@dataclass(frozen=True)
class PlacedOrder:
    """A row of `workflow.requests`, with how many messages its session has."""

    request_id: UUID
    promised_trip_id: UUID
    trip_id: UUID | None  # of one that lost to the trip that its session had: that one
    user_id: str
    session_id: str
    segments: list[Json] | None  # here and below: of a request
    pax: int | None
    criteria: Json
    reference: str | None  # of an attachment: what the trip is called at Avinode
    state: str
    code: str | None
    error: str | None
    event_id: UUID
    created_at: datetime
    message_count: int = 0

    @property
    def settled(self) -> bool:
        """Tell whether Avinode has spoken, or need not be asked."""
        return self.state not in ("intended", "sending", "attaching")

    @property
    def is_wrong_guess(self) -> bool:
        """Tell whether it named a trip that is somebody else's, or that Avinode does not know."""
        return self.reference is not None and self.code in (NoSuchTrip.code, "avinode_missing")

    @property
    def refusal(self) -> Refused | None:
        """Say why it is no trip; None while it may be one."""
        if self.state != "lost":
            return None
        if self.code == TripOpen.code:
            return TripOpen(self.error, trip_id=str(self.trip_id))
        return NoSuchTrip()


def lost_trip(order: PlacedOrder) -> Trip:
    """Show an order that came to nothing as the trip that it was to be, over before it began, with the reason."""
    trip = expected_trip(_event_of(order), order.message_count)
    request = trip.request and trip.request.model_copy(update={"state": order.state, "error": order.error})
    over = {"status": "archived", "outcome": "cancelled", "session_ended_at": order.created_at}
    return trip.model_copy(update={**over, "problem": order.error, "request": request})


def _event_of(order: PlacedOrder) -> TripRequested | TripAttached:
    """Make the event of an order again."""
    said = {
        "event_id": order.event_id,
        "occurred_at": order.created_at,
        "user_id": order.user_id,
        "session_id": order.session_id,
        "trip_id": order.promised_trip_id,
    }
    if order.reference is not None:
        return TripAttached.model_validate({**said, "avinode_trip_id": order.reference})
    asked = {"segments": order.segments, "pax": order.pax, "criteria": order.criteria}
    return TripRequested.model_validate({**said, "request_id": order.request_id, **asked})

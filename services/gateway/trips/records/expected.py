"""The record that an order is going to make, shown while it is not stored yet. Pure."""

from typing import Any

from services.gateway.sessions.status import FIRST_STEP
from services.gateway.trips.records.record import Segment, Trip, TripRequest, TripRow, timeline_of
from shared.events import TripAttached, TripRequested


def expected_trip(event: TripRequested | TripAttached, message_count: int) -> Trip:
    """Show the trip that this event begins, in a session with so many messages."""
    request = _expected_request(event) if isinstance(event, TripRequested) else None
    row = _expected_row(event, request, message_count)
    return Trip(
        **row.model_dump(),
        segments=request.segments if request else [],
        request=request,
        rfqs=[],
        quotes=[],
        proposals=[],
        messages=[],
        timeline=timeline_of(row, request=request, rfqs=[], messages=[], proposals=[]),
    )


def _expected_row(event: TripRequested | TripAttached, request: TripRequest | None, message_count: int) -> TripRow:
    unknown = dict.fromkeys(TripRow.model_fields)
    asked = _route(request) if request else _reference(event)
    at_first: dict[str, Any] = {
        "id": event.trip_id,
        "conversation_id": event.session_id,
        "iso_agent_id": event.user_id,
        "status": "active",
        "current_step": FIRST_STEP,
        "message_count": message_count,
        **dict.fromkeys(("operators_contacted_count", "quotes_expected_count", "quotes_received_count"), 0),
        "workflow_state": {},
        "metadata": {},
        **dict.fromkeys(("session_started_at", "last_activity_at", "created_at", "updated_at"), event.occurred_at),
    }
    return TripRow.model_validate({**unknown, **at_first, **asked})


def _route(request: TripRequest) -> dict[str, Any]:
    first, last = request.segments[0], request.segments[-1]
    return {
        "request_id": request.id,
        "departure_airport": first.from_icao,
        "arrival_airport": last.to_icao,
        "departure_date": first.date,
        "pax": request.pax,
    }


def _reference(event: TripRequested | TripAttached) -> dict[str, str]:
    """Say what an attached trip is called: the order may have named it by its id, or by the code that people see."""
    if isinstance(event, TripRequested):
        return {}
    return {"avinode_trip_id" if event.avinode_trip_id.startswith("atrip-") else "trip_code": event.avinode_trip_id}


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

"""Orders of trips that are in the database."""

from dataclasses import replace
from typing import Any

from services.gateway.trips.records.placed import PlacedOrder
from shared.events import TripAttached, TripRequested


def order_of(event: TripRequested | TripAttached, **became: Any) -> PlacedOrder:
    """Make the row of an order that has become the trip it was promised."""
    asked = event if isinstance(event, TripRequested) else None
    order = PlacedOrder(
        request_id=asked.request_id if asked else event.event_id,
        promised_trip_id=event.trip_id,
        trip_id=event.trip_id,
        user_id=event.user_id,
        session_id=event.session_id,
        segments=[leg.model_dump() for leg in asked.segments] if asked else None,
        pax=asked.pax if asked else None,
        criteria=asked.criteria if asked else {},
        reference=event.avinode_trip_id if isinstance(event, TripAttached) else None,
        state="created" if asked else "attached",
        code=None,
        error=None,
        event_id=event.event_id,
        created_at=event.occurred_at,
    )
    return replace(order, **became)

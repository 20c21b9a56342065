"""Read workflow.deliveries, by the administrators' role."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.gateway.admin.deliveries.answers import Delivery, State, WholeDelivery
from services.gateway.http.requests.cursors import Place
from shared.database import Connection, Pool, reading


@dataclass(frozen=True)
class DeliveryFilter:
    """Which ones; None: all."""

    source: str | None = None
    state: State | None = None
    event: str | None = None
    trip: str | None = None  # our id of a trip, Avinode's, or its code
    since: datetime | None = None
    until: datetime | None = None


class DeliveryQueries:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(self, which: DeliveryFilter, *, limit: int, before: Place | None) -> list[tuple[Place, Delivery]]:
        """Return up to `limit` deliveries without their bodies, the newest first, each with its place in that order."""
        received_before, id_before = before or (None, None)
        async with reading(self._pool) as db:
            names = None if which.trip is None else await _names_of(db, which.trip)
            rows = await db.fetch(
                """
                SELECT delivery_id AS id, source, event_name AS event, state, error AS reason, href, kind,
                    trip_code AS trip, attempts, received_at, worked_at, reprocessed_by, reprocessed_at,
                    CASE WHEN state IN ('due', 'unmatched') AND isfinite(due_at) THEN due_at END AS due_at,
                    octet_length(payload) AS size_bytes
                FROM workflow.deliveries
                WHERE (received_at, delivery_id) < (coalesce($8::timestamptz, 'infinity'),
                        coalesce($9::uuid, '00000000-0000-0000-0000-000000000000'))
                    AND ($1::text IS NULL OR source = $1) AND ($2::text IS NULL OR state = $2)
                    AND ($3::text IS NULL OR event_name = $3) AND ($4::text[] IS NULL OR trip_code = ANY ($4))
                    AND ($5::timestamptz IS NULL OR received_at >= $5)
                    AND ($6::timestamptz IS NULL OR received_at < $6)
                ORDER BY received_at DESC, delivery_id DESC LIMIT $7
                """,
                which.source,
                which.state,
                which.event,
                names,
                which.since,
                which.until,
                limit,
                received_before,
                id_before,
            )
        return [((row["received_at"], str(row["id"])), Delivery.model_validate(dict(row))) for row in rows]

    async def find(self, delivery_id: UUID) -> WholeDelivery | None:
        """Return one with what came."""
        async with reading(self._pool) as db:
            row = await db.fetchrow(
                """
                SELECT delivery_id AS id, source, event_name AS event, state, error AS reason, href, kind,
                    trip_code AS trip, attempts, received_at, worked_at, reprocessed_by, reprocessed_at,
                    CASE WHEN state IN ('due', 'unmatched') AND isfinite(due_at) THEN due_at END AS due_at,
                    octet_length(payload) AS size_bytes, headers, payload
                FROM workflow.deliveries WHERE delivery_id = $1
                """,
                delivery_id,
            )
        if row is None:
            return None
        return WholeDelivery.of(Delivery.model_validate(dict(row)), row["headers"], row["payload"])


async def _names_of(db: Connection, trip: str) -> Sequence[str]:
    """Return every name that notices may have for this trip."""
    spelled = trip.lower() if trip.lower().startswith("atrip-") else trip.upper()
    row = await db.fetchrow(
        """
        SELECT trip_code, avinode_trip_id FROM workflow.trips
        WHERE trip_id::text = lower($1) OR trip_code = $2 OR avinode_trip_id = $2
        """,
        trip,
        spelled,
    )
    return [spelled, *filter(None, row or ())]

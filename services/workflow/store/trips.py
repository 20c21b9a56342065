"""Write what users did: their requests, and the trips they attached."""

from collections.abc import Sequence
from uuid import UUID

from services.workflow.notices import trip_reference
from shared.database import Connection, Pool, transaction
from shared.events import TripAttached, TripRequested


class TripStore:
    """The events of one group, in one transaction."""

    def __init__(self, pool: Pool, *, shared: bool) -> None:
        self._pool = pool
        self._shared = shared  # may a user attach a trip that another user holds?

    async def record(self, begun: Sequence[TripRequested | TripAttached]) -> list[UUID]:
        """Store these events, once.

        Returns:
            For each the trip that its session has now; the event's own where it has none.
        """
        async with transaction(self._pool) as db:
            return [await self._begin(db, event) for event in begun]

    async def _begin(self, db: Connection, event: TripRequested | TripAttached) -> UUID:
        """Tie the session to a trip, unless it has an open one.

        A request that nobody can confirm gives way to an attachment: of the trip that was made, or of any other.
        """
        await db.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"{event.user_id}\x1f{event.session_id}"
        )
        has = await _trip_of(db, event)
        if has is not None:
            return has
        if isinstance(event, TripRequested):
            await _request_trip(db, event)
            return event.trip_id
        return await self._attach_trip(db, event)

    async def _attach_trip(self, db: Connection, event: TripAttached) -> UUID:
        """Tie the session to the trip of that name; a stranger to it gets nothing."""
        reference = trip_reference(event.avinode_trip_id)
        if reference is None:
            return event.trip_id
        await db.execute(
            """
            INSERT INTO workflow.trips (trip_id, avinode_trip_id, trip_code)
            SELECT $1, CASE WHEN $3 THEN $2 END, CASE WHEN NOT $3 THEN $2 END
            WHERE NOT EXISTS (SELECT FROM workflow.trips WHERE avinode_trip_id = $2 OR trip_code = $2)
            ON CONFLICT DO NOTHING
            """,
            event.trip_id,
            reference,
            reference.startswith("atrip-"),
        )
        # Locked by a statement of its own, so that the next one sees who was tied to it meanwhile.
        await db.execute(
            "SELECT FROM workflow.trips WHERE avinode_trip_id = $1 OR trip_code = $1 FOR UPDATE", reference
        )
        attached: UUID | None = await db.fetchval(
            """
            SELECT trip_id FROM workflow.trips t
            WHERE (avinode_trip_id = $1 OR trip_code = $1)
                AND ($2 OR NOT EXISTS (SELECT FROM workflow.trip_sessions s
                    WHERE s.trip_id = t.trip_id AND s.user_id <> $3 AND s.deleted_at IS NULL))
            """,
            reference,
            self._shared,
            event.user_id,
        )
        if attached is None:
            return event.trip_id
        await _tie(db, event, attached)
        return attached


async def _tie(db: Connection, event: TripAttached, trip_id: UUID) -> None:
    """Tie the session to this trip instead of the one it has open, which is a request that nobody can confirm."""
    session = event.user_id, event.session_id
    await db.execute(
        """
        UPDATE workflow.trip_sessions SET open = false, ended_at = clock_timestamp()
        WHERE user_id = $1 AND session_id = $2 AND open
        """,
        *session,
    )
    await db.execute(
        "UPDATE workflow.trips SET due_at = clock_timestamp() WHERE trip_id = $1 AND due_at = 'infinity'", trip_id
    )
    await db.execute(
        """
        INSERT INTO workflow.trip_sessions (user_id, session_id, trip_id, open, ended_at)
        SELECT $1, $2, trip_id, closed_at IS NULL, closed_at FROM workflow.trips WHERE trip_id = $3
        ON CONFLICT (user_id, session_id, trip_id) DO UPDATE SET open = EXCLUDED.open, ended_at = EXCLUDED.ended_at
        """,
        *session,
        trip_id,
    )


async def _trip_of(db: Connection, event: TripRequested | TripAttached) -> UUID | None:
    """Find the trip that this very event made, or the session's open one that does not give way to it."""
    request_id = event.request_id if isinstance(event, TripRequested) else None
    trip_id: UUID | None = await db.fetchval(
        """
        SELECT s.trip_id FROM workflow.trip_sessions s LEFT JOIN workflow.requests r USING (request_id)
        WHERE s.user_id = $1 AND s.session_id = $2
            AND (s.request_id = $3 OR s.trip_id = $4 OR s.open AND NOT ($5 AND coalesce(r.state, '') = 'unconfirmed'))
        ORDER BY s.request_id IS NOT DISTINCT FROM $3 DESC, s.trip_id = $4 DESC LIMIT 1
        """,
        event.user_id,
        event.session_id,
        request_id,
        event.trip_id,
        isinstance(event, TripAttached),
    )
    return trip_id


async def _request_trip(db: Connection, event: TripRequested) -> None:
    """Commit the intent: the trip, the session's tie to it, and the request to be sent. One statement, all or none."""
    await db.execute(
        """
        WITH trip AS (
            INSERT INTO workflow.trips (trip_id, route, pax) VALUES ($1, $5, $6)
        ), tie AS (
            INSERT INTO workflow.trip_sessions (user_id, session_id, trip_id, request_id) VALUES ($2, $3, $1, $4)
        )
        INSERT INTO workflow.requests (request_id, trip_id, user_id, session_id, segments, pax, criteria, event_id)
        VALUES ($4, $1, $2, $3, $7, $6, $8, $9)
        """,
        event.trip_id,
        event.user_id,
        event.session_id,
        event.request_id,
        [{"from": leg.from_icao, "to": leg.to_icao, "date": leg.date, "time": leg.time} for leg in event.segments],
        event.pax,
        [leg.model_dump() for leg in event.segments],
        event.criteria,
        event.event_id,
    )

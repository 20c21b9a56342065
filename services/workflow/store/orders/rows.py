"""The orders as rows: what users asked for, and what became of it; within somebody's transaction."""

from dataclasses import dataclass
from uuid import UUID

from shared.database import Connection
from shared.errors import Refused
from shared.events import TripAttached, TripRequested

Order = TripRequested | TripAttached


@dataclass(frozen=True)
class OpenTrip:
    """The trip that a session has."""

    trip_id: UUID
    names: tuple[str | None, ...]  # at Avinode
    is_unconfirmed: bool  # nobody can tell whether Avinode has it


async def known_order(db: Connection, order: Order) -> UUID | None:
    """Return the trip of an order that was heard before; the promised one where it has none."""
    row = await db.fetchrow(
        "SELECT trip_id FROM workflow.requests WHERE promised_trip_id = $1 OR request_id = $2",
        order.trip_id,
        request_id_of(order),
    )
    return None if row is None else row["trip_id"] or order.trip_id


def request_id_of(order: Order) -> UUID:
    """Name an order's row; an attachment has no request, and so goes by its event."""
    return order.request_id if isinstance(order, TripRequested) else order.event_id


async def open_trip_of(db: Connection, order: Order) -> OpenTrip | None:
    """Find the trip that the order's session has, locked: until the order is kept it becomes no other's."""
    while True:
        seen = await _locked_open_trip(db, order)
        has = await _open_trip(db, order)
        if has is None or has.trip_id == seen:
            return has


async def _locked_open_trip(db: Connection, order: Order) -> UUID | None:
    trip_id: UUID | None = await db.fetchval(
        "SELECT trip_id FROM workflow.trip_sessions WHERE user_id = $1 AND session_id = $2 AND open",
        order.user_id,
        order.session_id,
    )
    await db.execute("SELECT FROM workflow.trips WHERE trip_id = $1 FOR SHARE", trip_id)
    return trip_id


async def _open_trip(db: Connection, order: Order) -> OpenTrip | None:
    """Look again by a statement of its own: whoever had the lock may have made two trips one."""
    row = await db.fetchrow(
        """
        SELECT t.trip_id, t.avinode_trip_id, t.trip_code, coalesce(r.state, '') = 'unconfirmed' AS is_unconfirmed
        FROM workflow.trip_sessions s JOIN workflow.trips t USING (trip_id)
        LEFT JOIN workflow.requests r ON r.request_id = s.request_id
        WHERE s.user_id = $1 AND s.session_id = $2 AND s.open
        """,
        order.user_id,
        order.session_id,
    )
    if row is None:
        return None
    return OpenTrip(row["trip_id"], (row["avinode_trip_id"], row["trip_code"]), row["is_unconfirmed"])


async def keep_request(db: Connection, order: TripRequested) -> UUID:
    """Commit the intent: the trip, the session's tie to it, and the request to be sent. One statement, all or none."""
    await db.execute(
        """
        WITH trip AS (
            INSERT INTO workflow.trips (trip_id, route, pax) VALUES ($1, $5, $6)
        ), tie AS (
            INSERT INTO workflow.trip_sessions (user_id, session_id, trip_id, request_id, started_at)
            VALUES ($2, $3, $1, $4, $10)
        )
        INSERT INTO workflow.requests (request_id, promised_trip_id, trip_id, user_id, session_id, segments, pax,
            criteria, event_id, created_at)
        VALUES ($4, $1, $1, $2, $3, $7, $6, $8, $9, $10)
        """,
        order.trip_id,
        order.user_id,
        order.session_id,
        order.request_id,
        [{"from": leg.from_icao, "to": leg.to_icao, "date": leg.date, "time": leg.time} for leg in order.segments],
        order.pax,
        [leg.model_dump() for leg in order.segments],
        order.criteria,
        order.event_id,
        order.accepted,
    )
    return order.trip_id


async def keep_attachment(db: Connection, order: TripAttached, trip_id: UUID) -> UUID:
    """Note that the session is tied to this trip, which Avinode has shown already or is to show."""
    await db.execute(
        """
        INSERT INTO workflow.requests (request_id, kind, promised_trip_id, trip_id, user_id, session_id, reference,
            state, event_id, created_at)
        SELECT $1, 'attachment', $2, trip_id, $4, $5, $6,
            CASE WHEN last_checked_at IS NULL AND closed_at IS NULL THEN 'attaching' ELSE 'attached' END, $1, $7
        FROM workflow.trips WHERE trip_id = $3
        FOR SHARE  -- a reading that is being written now has looked for attachments already
        """,
        order.event_id,
        order.trip_id,
        trip_id,
        order.user_id,
        order.session_id,
        order.avinode_trip_id,
        order.accepted,
    )
    return trip_id


async def keep_lost(db: Connection, order: Order, why: Refused, trip_id: UUID | None = None) -> UUID:
    """Note why an order comes to nothing; `trip_id` is the trip that its own session has instead."""
    asked = order if isinstance(order, TripRequested) else None
    await db.execute(
        """
        INSERT INTO workflow.requests (request_id, kind, promised_trip_id, trip_id, user_id, session_id, segments, pax,
            criteria, reference, state, code, error, event_id, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'lost', $11, $12, $13, $14)
        """,
        request_id_of(order),
        "request" if asked else "attachment",
        order.trip_id,
        trip_id,
        order.user_id,
        order.session_id,
        [leg.model_dump() for leg in asked.segments] if asked else None,
        asked.pax if asked else None,
        asked.criteria if asked else {},
        order.avinode_trip_id if isinstance(order, TripAttached) else None,
        why.code,
        why.detail,
        order.event_id,
        order.accepted,
    )
    return trip_id or order.trip_id


async def settle_attachments(db: Connection, trip_id: UUID) -> None:
    """Note that Avinode has shown a trip that sessions were tied to."""
    await db.execute(
        """
        UPDATE workflow.requests SET state = 'attached', updated_at = clock_timestamp()
        WHERE trip_id = $1 AND state = 'attaching'
        """,
        trip_id,
    )


async def refuse_attachments(db: Connection, trip_id: UUID, why: str, code: str) -> None:
    """Note that Avinode knows no such trip."""
    await db.execute(
        """
        UPDATE workflow.requests SET state = 'refused', code = $3, error = $2, updated_at = clock_timestamp()
        WHERE trip_id = $1 AND state = 'attaching'
        """,
        trip_id,
        why,
        code,
    )


async def move_orders(db: Connection, kept: UUID, other: UUID, why: Refused) -> None:
    """Let the orders of a trip that was another one follow it; those whose session it is not have lost."""
    await db.execute(
        """
        UPDATE workflow.requests r SET (trip_id, state, code, error, updated_at) = (
            SELECT CASE WHEN tied THEN $1::uuid END, CASE WHEN tied THEN r.state ELSE 'lost' END,
                CASE WHEN tied THEN r.code ELSE $3 END, CASE WHEN tied THEN r.error ELSE $4 END, clock_timestamp()
            FROM (SELECT EXISTS (SELECT FROM workflow.trip_sessions s
                WHERE s.trip_id = $1 AND (s.user_id, s.session_id) = (r.user_id, r.session_id)) AS tied) tie)
        WHERE trip_id = $2
        """,
        kept,
        other,
        why.code,
        why.detail,
    )

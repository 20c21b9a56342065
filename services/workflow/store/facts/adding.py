"""Add to what is known of a trip, and keep what follows from it; within somebody's transaction."""

from uuid import UUID

from services.workflow.avinode.resources import Trip
from services.workflow.facts import Found, join
from services.workflow.rereading import Rereading, last_flight_on
from services.workflow.steps import Standing, standing
from services.workflow.store.facts.rows import load_facts, save_facts
from services.workflow.store.orders.rows import settle_attachments
from services.workflow.store.telling.notes import note_cancelled
from services.workflow.store.ties.ties import close_trip
from shared.database import Connection


async def add_found(db: Connection, trip_id: UUID, found: Found) -> bool:
    """Join what was found to what is known, and keep what follows from it.

    Returns:
        Whether that says anything new.
    """
    known = await load_facts(db, trip_id)
    if known is None:  # it turned out to be another's trip meanwhile
        return False
    joined = join(known, found)
    await save_facts(db, trip_id, known, joined)
    is_moved = await _save_standing(db, trip_id, standing(joined))
    is_new = joined != known or is_moved
    if is_new:
        await db.execute(
            """
            UPDATE workflow.trips SET updated_at = clock_timestamp(), last_activity_at = clock_timestamp()
            WHERE trip_id = $1
            """,
            trip_id,
        )
    return is_new


async def stand_anew(db: Connection, trip_id: UUID) -> None:
    """Keep what follows from the facts, of which one is new that Avinode does not tell."""
    known = await load_facts(db, trip_id)
    if known is not None:
        await _save_standing(db, trip_id, standing(known))
        await db.execute("UPDATE workflow.trips SET updated_at = clock_timestamp() WHERE trip_id = $1", trip_id)


async def add_trip(db: Connection, trip_id: UUID, trip: Trip, rereading: Rereading) -> bool:
    """Keep what a reading of the trip itself says, with the RFQs it shows whole.

    Returns:
        Whether that says anything new.
    """
    is_shown = await _save_trip(db, trip_id, trip)
    await db.execute(
        "UPDATE workflow.trips SET last_checked_at = clock_timestamp(), error = NULL WHERE trip_id = $1", trip_id
    )
    await settle_attachments(db, trip_id)
    rfqs, lifts = [reading.rfq for reading in trip.rfqs], [lift for reading in trip.rfqs for lift in reading.lifts]
    is_new = await add_found(db, trip_id, Found(rfqs=tuple(rfqs), lifts=tuple(lifts)))
    await _plan_reading(db, trip_id, rereading)
    if trip.canceled and await close_trip(db, trip_id):
        await note_cancelled(db, trip_id)
    return is_new or is_shown


async def _plan_reading(db: Connection, trip_id: UUID, rereading: Rereading) -> None:
    """Say when the trip is to be read again, by how long it has been quiet there."""
    trip = await db.fetchrow(
        """
        SELECT clock_timestamp() - last_activity_at AS quiet, route, clock_timestamp()::date AS today
        FROM workflow.trips WHERE trip_id = $1
        """,
        trip_id,
    )
    if trip is None:
        return
    wait_s = rereading.wait_s(trip["quiet"].total_seconds(), last_flight_on(trip["route"]), trip["today"])
    await db.execute(
        """
        UPDATE workflow.trips SET due_at = coalesce(clock_timestamp() + $2::float8 * interval '1 second', 'infinity')
        WHERE trip_id = $1
        """,
        trip_id,
        wait_s,
    )


async def _save_trip(db: Connection, trip_id: UUID, trip: Trip) -> bool:
    """Keep what the trip itself shows, and tell whether it changed. What a user asked for stays as it was asked."""
    is_changed = await db.fetchval(
        """
        UPDATE workflow.trips SET deep_link = coalesce($2, deep_link), pax = coalesce(pax, $4), canceled = $5,
            route = CASE route WHEN '[]' THEN $3 ELSE route END, updated_at = clock_timestamp()
        WHERE trip_id = $1 AND (deep_link, pax, canceled, route, error) IS DISTINCT FROM
            (coalesce($2, deep_link), coalesce(pax, $4), $5, CASE route WHEN '[]' THEN $3 ELSE route END, NULL)
        RETURNING true
        """,
        trip_id,
        trip.deep_link,
        trip.route,
        trip.pax,
        trip.canceled,
    )
    return bool(is_changed)


async def _save_standing(db: Connection, trip_id: UUID, now: Standing) -> bool:
    """Keep what follows from the facts, and tell whether it changed."""
    rfqs = await db.fetch(
        """
        UPDATE workflow.rfqs SET declined = rfq_id = ANY ($2::text[]), decline_reason = $3::jsonb ->> rfq_id
        WHERE trip_id = $1
            AND (declined, decline_reason) IS DISTINCT FROM (rfq_id = ANY ($2::text[]), $3::jsonb ->> rfq_id)
        RETURNING rfq_id
        """,
        trip_id,
        list(now.declined),
        dict(now.declined),
    )
    quotes = await db.fetch(
        """
        UPDATE workflow.quotes SET current = NOT current WHERE trip_id = $1 AND current = (quote_id = ANY ($2::text[]))
        RETURNING quote_id
        """,
        trip_id,
        list(now.superseded),
    )
    counts = await db.fetch(
        """
        UPDATE workflow.trips SET step = $2, operators_contacted_count = $3, quotes_expected_count = $4,
            quotes_received_count = $5
        WHERE trip_id = $1 AND (step, operators_contacted_count, quotes_expected_count, quotes_received_count)
            IS DISTINCT FROM ($2, $3, $4, $5)
        RETURNING trip_id
        """,
        trip_id,
        now.step,
        now.contacted,
        now.expected,
        now.received,
    )
    return bool(rfqs or quotes or counts)

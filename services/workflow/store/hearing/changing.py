"""What users do to the trips that their sessions are about; within somebody's transaction."""

from uuid import UUID

from services.workflow.store.orders.fields import set_fields
from services.workflow.store.ties.ties import advanced, close_trip
from shared.database import Connection
from shared.events import TripAdvanced, TripChanged, TripClosed, TripRefreshRequested

Change = TripChanged | TripClosed | TripRefreshRequested


async def change_trip(db: Connection, event: Change) -> list[TripAdvanced]:
    """Do what a user wants of a trip that their session is about; safe to repeat, and in any order.

    Returns:
        The outcomes for everybody whose session is about it; none where it is gone, or no trip of this session's.
    """
    event = event.model_copy(update={"trip_id": await _trip_now(db, event)})
    if not await _is_theirs(db, event):
        return []
    if isinstance(event, TripChanged):
        await set_fields(db, event)
    elif isinstance(event, TripRefreshRequested):
        await db.execute(
            "UPDATE workflow.trips SET due_at = clock_timestamp() WHERE trip_id = $1 AND closed_at IS NULL",
            event.trip_id,
        )
    elif event.outcome == "completed":
        await close_trip(db, event.trip_id, outcome="completed")
    else:
        await _intend_to_cancel(db, event)
    return await advanced(db, event.trip_id, (event.event_id,))


async def _trip_now(db: Connection, event: Change) -> UUID:
    """Return which row the trip is now: it may have become part of another since somebody looked."""
    other: UUID | None = await db.fetchval(
        """
        SELECT r.trip_id FROM workflow.requests r
        WHERE r.promised_trip_id = $1 AND r.user_id = $2
            AND NOT EXISTS (SELECT FROM workflow.trips t WHERE t.trip_id = $1)
        """,
        event.trip_id,
        event.user_id,
    )
    return other or event.trip_id


async def _is_theirs(db: Connection, event: Change) -> bool:
    """Lock the trip, and tell whether this session is about it, and was not deleted since."""
    await db.execute("SELECT FROM workflow.trips WHERE trip_id = $1 FOR UPDATE", event.trip_id)
    return bool(
        await db.fetchval(
            """
            SELECT EXISTS (SELECT FROM workflow.trip_sessions s
                WHERE s.user_id = $1 AND s.session_id = $2 AND s.trip_id = $3 AND s.deleted_at IS NULL
                    AND NOT workflow.is_gone(s.user_id, s.session_id, s.started_at))
                AND NOT workflow.is_gone($1, $2, $4)
            """,
            event.user_id,
            event.session_id,
            event.trip_id,
            event.accepted,
        )
    )


async def _intend_to_cancel(db: Connection, event: TripClosed) -> None:
    """Commit the intent; a trip that has ended stays as it ended."""
    await db.execute(
        """
        INSERT INTO workflow.cancellations AS known (trip_id, reason, message, event_id, accepted_at)
        SELECT trip_id, $2, $3, $4, $5 FROM workflow.trips WHERE trip_id = $1 AND closed_at IS NULL
        ON CONFLICT (trip_id) DO UPDATE SET reason = EXCLUDED.reason, message = EXCLUDED.message, state = 'intended',
            attempts = 0, error = NULL, due_at = clock_timestamp(), event_id = EXCLUDED.event_id,
            accepted_at = EXCLUDED.accepted_at, updated_at = clock_timestamp()
            WHERE known.state = 'refused' AND known.accepted_at < EXCLUDED.accepted_at
        """,
        event.trip_id,
        event.reason,
        event.message,
        event.event_id,
        event.accepted,
    )

"""Who is told of a trip, and how it ends for their sessions; within somebody's transaction."""

from typing import Literal
from uuid import UUID

from shared.database import Connection
from shared.events import TripAdvanced


async def advanced(
    db: Connection, trip_id: UUID, causes: tuple[UUID, ...] = (), changed: tuple[str, ...] = ("trip",)
) -> list[TripAdvanced]:
    """Make the outcomes for everybody whose session is about this trip."""
    rows = await db.fetch(
        """
        SELECT user_id, session_id FROM workflow.trip_sessions
        WHERE trip_id = $1 AND deleted_at IS NULL AND NOT workflow.is_gone(user_id, session_id, started_at)
        """,
        trip_id,
    )
    return [TripAdvanced(**row, trip_id=trip_id, causes=causes, changed=changed) for row in map(dict, rows)]


async def close_trip(
    db: Connection, trip_id: UUID, error: str | None = None, *, outcome: Literal["completed", "cancelled"] = "cancelled"
) -> bool:
    """End a trip that is done, that Avinode cancelled or will never have; its sessions may have another.

    Returns:
        Whether it has not ended before.
    """
    has_ended = await db.fetchval(
        """
        UPDATE workflow.trips SET closed_at = clock_timestamp(), outcome = $3, error = $2,
            updated_at = clock_timestamp()
        WHERE trip_id = $1 AND closed_at IS NULL RETURNING true
        """,
        trip_id,
        error,
        outcome,
    )
    await db.execute(
        """
        UPDATE workflow.trip_sessions SET open = false, ended_at = clock_timestamp() WHERE trip_id = $1 AND open
        """,
        trip_id,
    )
    return bool(has_ended)

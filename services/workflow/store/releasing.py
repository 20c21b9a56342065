"""Take a trip from users who were not to have it; within somebody's transaction."""

from shared.database import Connection
from shared.events import TripAdvanced, TripReleased

RELEASED = "trip_released"  # the reason of their orders, by which they are known should they attach it again
WHY = "An operator has released this trip."


async def release_trip(db: Connection, release: TripReleased) -> list[TripAdvanced]:
    """End the ties of these users' sessions to the trip: they see nothing of it any more. The trip itself stays.

    Safe to repeat: whoever attached it since is not among the users that the event names.
    """
    # Before the look at who is tied to it: an attachment that comes now waits, and finds it released.
    await db.execute("SELECT FROM workflow.trips WHERE trip_id = $1 FOR UPDATE", release.trip_id)
    await db.execute(
        """
        UPDATE workflow.requests SET state = 'lost', code = $3, error = $4, updated_at = clock_timestamp()
        WHERE trip_id = $1 AND user_id = ANY ($2) AND state <> 'lost'
        """,
        release.trip_id,
        list(release.user_ids),
        RELEASED,
        WHY,
    )
    rows = await db.fetch(
        """
        UPDATE workflow.trip_sessions SET open = false, ended_at = coalesce(ended_at, clock_timestamp()),
            deleted_at = clock_timestamp()
        WHERE trip_id = $1 AND user_id = ANY ($2) AND deleted_at IS NULL
            AND NOT workflow.is_gone(user_id, session_id, started_at)
        RETURNING user_id, session_id
        """,
        release.trip_id,
        list(release.user_ids),
    )
    causes = (release.event_id,)
    return [TripAdvanced(**row, trip_id=release.trip_id, causes=causes) for row in map(dict, rows)]

"""Take a trip from users who were not to have it; within somebody's transaction."""

from services.workflow.store.ties.bans import ban, take
from shared.database import Connection
from shared.events import TripAdvanced, TripReleased


async def release_trip(db: Connection, release: TripReleased) -> list[TripAdvanced]:
    """End the ties of these users' sessions to the trip: they see nothing of it any more. The trip itself stays.

    Safe to repeat: whoever attached it since is not among the users that the event names.
    """
    # Before the look at who is tied to it: an attachment that comes now waits, and finds it released.
    await db.execute("SELECT FROM workflow.trips WHERE trip_id = $1 FOR UPDATE", release.trip_id)
    await ban(db, release)
    return [
        TripAdvanced(user_id=user_id, session_id=session_id, trip_id=release.trip_id, causes=(release.event_id,))
        for user_id, session_id in await take(db, release.trip_id, release.user_ids)
    ]

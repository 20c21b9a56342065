"""Which trip is to be read at Avinode next."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from services.workflow.rereading import Rereading, last_flight_on
from shared.database import Pool
from shared.events import Json


@dataclass(frozen=True)
class DueTrip:
    """A trip to be read at Avinode."""

    trip_id: UUID
    reference: str  # its id there, or its code
    was_read: bool
    is_wanted: bool  # by a session that was not deleted
    quiet_s: float  # for how long there has been nothing new of it
    unread_s: float  # since it was last read, or begun
    route: list[Json]
    today: date

    def usual_wait_s(self, rereading: Rereading) -> float | None:
        """Return after how long it is read again where nothing is amiss; None: not at all."""
        return rereading.wait_s(self.quiet_s, last_flight_on(self.route), self.today)


async def next_due(pool: Pool, *, unread: bool, active_s: float) -> DueTrip | None:
    """Return the open trip that has been due longest.

    Args:
        pool: Of the workflow's database.
        unread: Of those that were never read, else of all others.
        active_s: One about which there was something new within this time comes before all that are quiet.
    """
    row = await pool.fetchrow(
        """
        WITH due AS (
            (SELECT trip_id, 1 AS place, due_at FROM workflow.trips
            WHERE closed_at IS NULL AND (avinode_trip_id IS NOT NULL OR trip_code IS NOT NULL)
                AND $1 AND last_checked_at IS NULL AND due_at <= clock_timestamp()
            ORDER BY due_at LIMIT 1)
            UNION ALL
            (SELECT trip_id, 2, due_at FROM workflow.trips
            WHERE closed_at IS NULL AND (avinode_trip_id IS NOT NULL OR trip_code IS NOT NULL)
                AND NOT $1 AND last_checked_at IS NOT NULL AND due_at <= clock_timestamp()
                AND last_activity_at > clock_timestamp() - $2::float8 * interval '1 second'
            ORDER BY due_at LIMIT 1)
            UNION ALL
            (SELECT trip_id, 3, due_at FROM workflow.trips
            WHERE closed_at IS NULL AND (avinode_trip_id IS NOT NULL OR trip_code IS NOT NULL)
                AND NOT $1 AND last_checked_at IS NOT NULL AND due_at <= clock_timestamp()
            ORDER BY due_at LIMIT 1)
        )
        SELECT trip_id, coalesce(avinode_trip_id, trip_code) AS reference, last_checked_at IS NOT NULL AS was_read,
            EXISTS (SELECT FROM workflow.trip_sessions s WHERE s.trip_id = t.trip_id AND s.deleted_at IS NULL
                AND NOT workflow.is_gone(s.user_id, s.session_id, s.started_at)) AS is_wanted,
            extract(epoch FROM clock_timestamp() - last_activity_at)::float8 AS quiet_s,
            extract(epoch FROM clock_timestamp() - coalesce(last_checked_at, created_at))::float8 AS unread_s,
            route, clock_timestamp()::date AS today
        FROM due JOIN workflow.trips t USING (trip_id) ORDER BY place, due.due_at LIMIT 1
        """,
        unread,
        active_s,
    )
    return None if row is None else DueTrip(**row)

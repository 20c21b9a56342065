"""Whether Avinode is called at the moment: one row, for all trips."""

from shared.database import Pool, transaction
from shared.events import TripAdvanced

MOST_TOLD = 1000  # hints of one hold; whoever gets none sees the reason when they look


class StatusStore:
    """The row is read by the gateway, which joins it to the trips that wait, and by the doctor."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def show(self, refusal: str | None, held_s: float) -> list[TripAdvanced]:
        """Say why nobody calls Avinode for that long, or with None that it is called.

        Returns:
            The outcomes to announce, where a hold begins: to everybody whose trip waits for it.
        """
        async with transaction(self._pool) as db:
            await db.execute(
                """
                UPDATE workflow.avinode_status SET refusal = $1, updated_at = clock_timestamp(),
                    held_until = CASE WHEN $1::text IS NOT NULL
                        THEN clock_timestamp() + $2::float8 * interval '1 second' END
                """,
                refusal,
                held_s,
            )
            if refusal is None:
                return []
            # The same trips as in the gateway's `trips/queries.py`.
            rows = await db.fetch(
                """
                SELECT s.user_id, s.session_id, s.trip_id
                FROM workflow.trips t JOIN workflow.trip_sessions s USING (trip_id)
                WHERE s.deleted_at IS NULL AND NOT workflow.is_gone(s.user_id, s.session_id, s.started_at)
                    AND t.closed_at IS NULL AND t.trip_id IN (
                    SELECT trip_id FROM workflow.requests WHERE state = 'intended'
                    UNION ALL
                    SELECT trip_id FROM workflow.trips WHERE closed_at IS NULL AND due_at <= clock_timestamp()
                        AND (avinode_trip_id IS NOT NULL OR trip_code IS NOT NULL))
                LIMIT $1
                """,
                MOST_TOLD,
            )
            return [TripAdvanced(**row, causes=()) for row in map(dict, rows)]

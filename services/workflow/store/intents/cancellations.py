"""The intents to cancel trips at Avinode, and what became of them."""

from dataclasses import dataclass
from uuid import UUID

from services.workflow.store.telling.notes import note_cancelled
from services.workflow.store.ties.ties import advanced, close_trip
from shared.database import Connection, Pool, transaction
from shared.errors import TripCancelled
from shared.events import TripAdvanced

UNKNOWN = "nobody can tell whether Avinode has this trip, so it was ended here only"


@dataclass(frozen=True)
class Cancellation:
    """A trip that is to be cancelled."""

    trip_id: UUID
    event_id: UUID
    avinode_trip_id: str | None
    has_name: bool  # at Avinode, if only the code that people see
    is_being_sent: bool  # its creation was sent, and not answered yet
    outcome: str | None  # where it has ended meanwhile
    reason: str
    message: str | None
    attempts: int


class CancellationStore:
    """States and what moves a row between them stand beside the table's definition."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def next_due(self) -> Cancellation | None:
        """Return the one that has been due longest, of a trip that somebody's session is about."""
        row = await self._pool.fetchrow(
            """
            SELECT c.trip_id, c.event_id, t.avinode_trip_id, t.outcome, c.reason, c.message, c.attempts,
                coalesce(t.avinode_trip_id, t.trip_code) IS NOT NULL AS has_name,
                EXISTS (SELECT FROM workflow.requests r WHERE r.trip_id = c.trip_id AND r.state = 'sending')
                    AS is_being_sent
            FROM workflow.cancellations c JOIN workflow.trips t USING (trip_id)
            WHERE c.state = 'intended' AND c.due_at <= clock_timestamp() AND NOT workflow.is_forsaken(c.trip_id)
            ORDER BY c.due_at LIMIT 1
            """
        )
        return None if row is None else Cancellation(**row)

    async def done(self, cancellation: Cancellation) -> list[TripAdvanced]:
        """End a trip that Avinode has cancelled, or does not have."""
        async with transaction(self._pool) as db:
            return await self._end(db, cancellation)

    async def withdrawn(self, cancellation: Cancellation) -> list[TripAdvanced]:
        """End a trip that has no name at Avinode: its creation was not sent, and is not any more, or not answered."""
        async with transaction(self._pool) as db:
            # Locked by a statement of its own, so that the next one sees what was sent or named meanwhile.
            await db.execute("SELECT FROM workflow.trips WHERE trip_id = $1 FOR UPDATE", cancellation.trip_id)
            states = await db.fetch(
                """
                WITH withdrawn AS (
                    UPDATE workflow.requests SET state = 'refused', code = $2, error = $3,
                        updated_at = clock_timestamp()
                    WHERE trip_id = $1 AND state = 'intended'
                )
                SELECT state FROM workflow.requests r JOIN workflow.trips t USING (trip_id)
                WHERE trip_id = $1 AND t.avinode_trip_id IS NULL AND t.trip_code IS NULL FOR UPDATE OF r
                """,
                cancellation.trip_id,
                TripCancelled.code,
                TripCancelled().detail,
            )
            known = {row["state"] for row in states}
            if not known or "sending" in known:  # it has a name by now, or may get one
                return []
            return await self._end(db, cancellation, UNKNOWN if "unconfirmed" in known else None)

    async def postpone(self, cancellation: Cancellation, error: str | None, wait_s: float) -> list[TripAdvanced]:
        """Ask again later, and show why."""
        return await self._settle(cancellation, "intended", error, wait_s)

    async def refused(self, cancellation: Cancellation, error: str) -> list[TripAdvanced]:
        """Note that Avinode does not cancel this trip: it goes on."""
        return await self._settle(cancellation, "refused", error, 0.0)

    async def _end(self, db: Connection, cancellation: Cancellation, error: str | None = None) -> list[TripAdvanced]:
        outcomes = await advanced(db, cancellation.trip_id, (cancellation.event_id,))
        await db.execute(
            """
            UPDATE workflow.cancellations SET state = 'done', error = $2, updated_at = clock_timestamp()
            WHERE trip_id = $1
            """,
            cancellation.trip_id,
            error,
        )
        if await close_trip(db, cancellation.trip_id, error):
            await note_cancelled(db, cancellation.trip_id)
        return outcomes

    async def _settle(
        self, cancellation: Cancellation, state: str, error: str | None, wait_s: float
    ) -> list[TripAdvanced]:
        async with transaction(self._pool) as db:
            is_news = await db.fetchval(
                """
                UPDATE workflow.cancellations c SET state = $3, error = $4, attempts = c.attempts + 1,
                    due_at = clock_timestamp() + $5 * interval '1 second', updated_at = clock_timestamp()
                FROM workflow.cancellations old
                WHERE c.trip_id = $1 AND c.event_id = $2 AND c.state = 'intended' AND old.trip_id = c.trip_id
                RETURNING (old.state, old.error) IS DISTINCT FROM (c.state, c.error)
                """,
                cancellation.trip_id,
                cancellation.event_id,
                state,
                error,
                wait_s,
            )
            if not is_news:
                return []
            return await advanced(db, cancellation.trip_id, (cancellation.event_id,))

"""The intent rows: what is to be created at Avinode, and what became of it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.workflow.avinode.errors import AvinodeRefused
from services.workflow.avinode.resources import Trip
from services.workflow.rereading import Rereading
from services.workflow.store.facts.adding import add_trip
from services.workflow.store.ties.naming import name_trip
from services.workflow.store.ties.ties import advanced, close_trip
from shared.database import Pool, transaction
from shared.events import Json, TripAdvanced


@dataclass(frozen=True)
class Intent:
    """A request that this process is sending."""

    request_id: UUID
    trip_id: UUID
    event_id: UUID
    segments: list[Json]
    pax: int
    criteria: Json
    attempts: int
    sent_at: datetime  # just before the call


class RequestStore:
    """States and what moves a row between them stand beside the table's definition."""

    def __init__(self, pool: Pool, *, shared: bool, rereading: Rereading) -> None:
        self._pool = pool
        self._shared = shared
        self._rereading = rereading

    async def has_due(self) -> bool:
        """Tell whether a request waits to be sent."""
        return bool(
            await self._pool.fetchval(
                """
                SELECT EXISTS (SELECT FROM workflow.requests r JOIN workflow.trips t USING (trip_id)
                    WHERE r.state = 'intended' AND r.due_at <= clock_timestamp() AND t.closed_at IS NULL
                        AND NOT workflow.is_gone(r.user_id, r.session_id, r.created_at))
                """
            )
        )

    async def begin_sending(self) -> Intent | None:
        """Take the longest due request: it is `sending` from here on, whatever happens to this process."""
        row = await self._pool.fetchrow(
            """
            UPDATE workflow.requests SET state = 'sending', attempts = attempts + 1, updated_at = clock_timestamp()
            WHERE request_id = (
                SELECT r.request_id FROM workflow.requests r JOIN workflow.trips t USING (trip_id)
                WHERE r.state = 'intended' AND r.due_at <= clock_timestamp() AND t.closed_at IS NULL
                    AND NOT workflow.is_gone(r.user_id, r.session_id, r.created_at)
                ORDER BY r.due_at LIMIT 1 FOR UPDATE OF r SKIP LOCKED
            )
            RETURNING request_id, trip_id, event_id, segments, pax, criteria, attempts, updated_at AS sent_at
            """
        )
        return None if row is None else Intent(**row)

    async def created(self, intent: Intent, trip: Trip, error: str | None) -> list[TripAdvanced]:
        """Note that Avinode has the trip; `error` is what it found wrong with it all the same."""
        async with transaction(self._pool) as db:
            await db.execute(
                """
                UPDATE workflow.requests SET state = 'created', error = $2, updated_at = clock_timestamp()
                WHERE request_id = $1
                """,
                intent.request_id,
                error,
            )
            kept = await name_trip(db, intent.trip_id, trip.avinode_trip_id, trip.trip_code, shared=self._shared)
            if kept is None:  # its session was deleted meanwhile; nothing is cancelled at Avinode
                return []
            await add_trip(db, kept, trip, self._rereading)
            if trip.trip_code is None:
                await db.execute("UPDATE workflow.trips SET due_at = clock_timestamp() WHERE trip_id = $1", kept)
            return await advanced(db, kept, (intent.event_id,))

    async def not_sent(self, intent: Intent, error: str, wait_s: float) -> list[TripAdvanced]:
        """Note that Avinode surely did not act on it: it is due again."""
        return await self._settle(intent, "intended", error, wait_s)

    async def unconfirmed(self, intent: Intent, error: str) -> list[TripAdvanced]:
        """Note that nobody can tell whether Avinode acted on it: it is never sent again."""
        return await self._settle(intent, "unconfirmed", error)

    async def refused(self, intent: Intent, error: str) -> list[TripAdvanced]:
        """Note that Avinode will not create this trip; its session may ask for another."""
        return await self._settle(intent, "refused", error)

    async def has_stale(self, older_s: float) -> bool:
        """Tell whether a request has been `sending` for longer."""
        return bool(
            await self._pool.fetchval(
                """
                SELECT EXISTS (SELECT FROM workflow.requests
                    WHERE state = 'sending' AND updated_at <= clock_timestamp() - $1 * interval '1 second')
                """,
                older_s,
            )
        )

    async def abandon(self, older_s: float = 0.0) -> list[TripAdvanced]:
        """Note what has been `sending` for longer and nobody sends any more: none can tell what became of it."""
        async with transaction(self._pool) as db:
            rows = await db.fetch(
                """
                WITH abandoned AS (
                    UPDATE workflow.requests SET state = 'unconfirmed', error = 'the sender ended before the answer',
                        updated_at = clock_timestamp()
                    WHERE state = 'sending' AND updated_at <= clock_timestamp() - $1 * interval '1 second'
                    RETURNING trip_id, event_id, error
                )
                UPDATE workflow.trips t SET error = a.error, updated_at = clock_timestamp()
                FROM abandoned a WHERE t.trip_id = a.trip_id RETURNING t.trip_id, a.event_id
                """,
                older_s,
            )
            return [outcome for row in rows for outcome in await advanced(db, row["trip_id"], (row["event_id"],))]

    async def _settle(self, intent: Intent, state: str, error: str, wait_s: float = 0.0) -> list[TripAdvanced]:
        async with transaction(self._pool) as db:
            settled: UUID | None = await db.fetchval(
                """
                UPDATE workflow.requests SET state = $3, error = $4, code = $6, updated_at = clock_timestamp(),
                    due_at = clock_timestamp() + $5 * interval '1 second'
                WHERE request_id = $1 AND attempts = $2 AND state IN ('sending', 'unconfirmed')
                RETURNING trip_id
                """,
                intent.request_id,
                intent.attempts,
                state,
                error,
                wait_s,
                AvinodeRefused.code if state == "refused" else None,
            )
            if settled is None:  # the trip has turned up meanwhile, or its session was deleted
                return []
            if state == "refused":
                await close_trip(db, settled, error)
            else:
                await db.execute(
                    "UPDATE workflow.trips SET error = $2, updated_at = clock_timestamp() WHERE trip_id = $1",
                    settled,
                    error,
                )
            return await advanced(db, settled, (intent.event_id,))

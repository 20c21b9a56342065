"""What Avinode says of trips: which to read next, what is not known yet, and what was found."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from services.workflow.avinode.errors import AvinodeMissing
from services.workflow.avinode.resources import Trip
from services.workflow.facts import Found
from services.workflow.rereading import Rereading
from services.workflow.store.facts.adding import add_found, add_trip
from services.workflow.store.facts.due import DueTrip, next_due
from services.workflow.store.orders.rows import refuse_attachments
from services.workflow.store.telling.notes import answered_trip, note_if_answered
from services.workflow.store.ties.naming import name_trip
from services.workflow.store.ties.ties import advanced, close_trip
from shared.database import Connection, Pool, transaction
from shared.errors import Unstorable
from shared.events import TripAdvanced


@dataclass(frozen=True)
class Unanswered:
    """Which requests there are without an answer."""

    has_unconfirmed: bool  # there will be none
    has_sending: bool  # there may be one


class FactStore:
    """Every method that changes something returns the outcomes to announce: none where nothing changed or was asked."""

    def __init__(self, pool: Pool, *, shared: bool, rereading: Rereading) -> None:
        self._pool = pool
        self._shared = shared
        self._rereading = rereading

    async def clock(self) -> datetime:
        """Ask the database for the time: the one clock by which fetches are ordered."""
        now: datetime = await self._pool.fetchval("SELECT clock_timestamp()")
        return now

    async def next_due(self, *, unread: bool = False, active_s: float = 0.0) -> DueTrip | None:
        """Return the open trip that has been due longest, of those never read or of all others: see `due.py`."""
        return await next_due(self._pool, unread=unread, active_s=active_s)

    async def trip_called(self, reference: str | None) -> UUID | None:
        """Find a trip by its id at Avinode or its code; one that only deleted sessions were about is nobody's."""
        trip_id: UUID | None = await self._pool.fetchval(
            """
            SELECT trip_id FROM workflow.trips
            WHERE (trip_code = $1 OR avinode_trip_id = $1) AND NOT workflow.is_forsaken(trip_id)
            """,
            reference,
        )
        return trip_id

    async def trip_of_rfq(self, rfq_id: str | None) -> UUID | None:
        """Find the trip that an RFQ belongs to."""
        trip_id: UUID | None = await self._pool.fetchval(
            "SELECT trip_id FROM workflow.rfqs WHERE rfq_id = $1 AND NOT workflow.is_forsaken(trip_id)", rfq_id
        )
        return trip_id

    async def trip_of_message(self, message_id: str | None) -> UUID | None:
        """Find the trip that a message belongs to."""
        trip_id: UUID | None = await self._pool.fetchval(
            """
            SELECT trip_id FROM workflow.trip_messages
            WHERE avinode_message_id = $1 AND NOT workflow.is_forsaken(trip_id)
            """,
            message_id,
        )
        return trip_id

    async def unknown_messages(self, trip_id: UUID, message_ids: Iterable[str]) -> list[str]:
        """Return those of a trip's messages that were never read for it; no message changes."""
        rows = await self._pool.fetch(
            """
            SELECT id FROM unnest($1::text[]) WITH ORDINALITY AS wanted (id, place)
            WHERE NOT EXISTS (SELECT FROM workflow.trip_messages WHERE avinode_message_id = id AND trip_id = $2)
            ORDER BY place
            """,
            list(message_ids),
            trip_id,
        )
        return [row["id"] for row in rows]

    async def unknown_quotes(self, trip_id: UUID, quote_ids: Iterable[str]) -> list[str]:
        """Return those of a trip's quotes that were never read for it, or whose lift is not known."""
        rows = await self._pool.fetch(
            """
            SELECT id FROM unnest($1::text[]) WITH ORDINALITY AS wanted (id, place)
            WHERE NOT EXISTS (SELECT FROM workflow.quotes
                WHERE quote_id = id AND trip_id = $2 AND lift_id IS NOT NULL)
            ORDER BY place
            """,
            list(quote_ids),
            trip_id,
        )
        return [row["id"] for row in rows]

    async def unanswered(self) -> Unanswered:
        """Tell for which requests Avinode may have a trip that we do not know by name."""
        (row,) = await self._pool.fetch(
            """
            SELECT EXISTS (SELECT FROM workflow.requests WHERE state = 'unconfirmed'
                    AND NOT workflow.is_gone(user_id, session_id, created_at)) AS has_unconfirmed,
                EXISTS (SELECT FROM workflow.requests WHERE state = 'sending'
                    AND NOT workflow.is_gone(user_id, session_id, created_at)) AS has_sending
            """
        )
        return Unanswered(**row)

    async def add(self, trip_id: UUID, found: Found, causes: tuple[UUID, ...] = ()) -> list[TripAdvanced]:
        """Keep what was found of a trip."""
        async with self._adding() as db:
            is_new = await add_found(db, trip_id, found)
            return await advanced(db, trip_id, causes) if is_new or causes else []

    async def add_trip(self, trip_id: UUID | None, trip: Trip) -> tuple[UUID | None, list[TripAdvanced]]:
        """Keep a reading of a trip.

        Returns:
            The trip it was, since two of our rows may turn out to be one trip; None where it is not ours at all.
        """
        async with self._adding() as db:
            lost: UUID | None = await db.fetchval(
                """
                UPDATE workflow.requests SET state = 'created', error = NULL, updated_at = clock_timestamp()
                WHERE request_id::text = $1 AND state IN ('sending', 'unconfirmed')
                    AND NOT workflow.is_gone(user_id, session_id, created_at)
                RETURNING trip_id
                """,
                trip.external_trip_id,
            )
            known = lost or trip_id
            if known is None:
                return None, []
            kept = await name_trip(db, known, trip.avinode_trip_id, trip.trip_code, shared=self._shared)
            if kept is None:
                return None, []
            is_new = await add_trip(db, kept, trip, self._rereading)
            return kept, await advanced(db, kept) if is_new or kept != trip_id else []

    async def conclude(self, trip_id: UUID) -> None:
        """Note what follows from a trip of which just everything was read."""
        async with self._adding() as db:
            await note_if_answered(db, trip_id)

    async def seems_answered(self, trip_id: UUID) -> str | None:
        """Return the name of a trip where it seems that nobody's answer is awaited any more, which is not noted yet."""
        return await answered_trip(self._pool, trip_id)

    async def let_go(self, trip_id: UUID) -> None:
        """Read a trip no more that no session is about; whoever attaches it has it read again."""
        async with transaction(self._pool) as db:
            # Locked by a statement of its own, so that the next one sees who was tied to it meanwhile.
            await db.execute("SELECT FROM workflow.trips WHERE trip_id = $1 FOR UPDATE", trip_id)
            await db.execute(
                """
                UPDATE workflow.trips t SET due_at = 'infinity'
                WHERE trip_id = $1 AND NOT EXISTS (SELECT FROM workflow.trip_sessions s
                    WHERE s.trip_id = t.trip_id AND s.deleted_at IS NULL
                        AND NOT workflow.is_gone(s.user_id, s.session_id, s.started_at))
                """,
                trip_id,
            )

    async def postpone(self, trip_id: UUID, error: str, wait_s: float | None) -> list[TripAdvanced]:
        """Read the trip again later, or with `None` not by itself, and show why."""
        async with self._adding() as db:
            is_news = await db.fetchval(
                """
                UPDATE workflow.trips t
                SET due_at = coalesce(clock_timestamp() + $3::float8 * interval '1 second', 'infinity'), error = $2,
                    updated_at = CASE WHEN old.error IS DISTINCT FROM $2 THEN clock_timestamp() ELSE t.updated_at END
                FROM workflow.trips old WHERE t.trip_id = $1 AND old.trip_id = t.trip_id
                RETURNING old.error IS DISTINCT FROM $2
                """,
                trip_id,
                error,
                wait_s,
            )
            return await advanced(db, trip_id) if is_news else []

    async def read_soon(self, trip_id: UUID) -> None:
        """Read the trip again as soon as may be."""
        await self._pool.execute("UPDATE workflow.trips SET due_at = clock_timestamp() WHERE trip_id = $1", trip_id)

    async def give_up(self, trip_id: UUID, error: str) -> list[TripAdvanced]:
        """End a trip that somebody attached and Avinode does not know. Its name is free for another try."""
        async with transaction(self._pool) as db:
            # Before the look at who is tied to it: an attachment that comes now waits, and finds it closed.
            await db.execute("SELECT FROM workflow.trips WHERE trip_id = $1 FOR UPDATE", trip_id)
            outcomes = await advanced(db, trip_id)
            await refuse_attachments(db, trip_id, error, AvinodeMissing.code)
            await close_trip(db, trip_id, error)
            await db.execute(
                "UPDATE workflow.trips SET avinode_trip_id = NULL, trip_code = NULL WHERE trip_id = $1", trip_id
            )
            return outcomes

    @asynccontextmanager
    async def _adding(self) -> AsyncIterator[Connection]:
        """Run the block in a transaction.

        Raises:
            Unstorable: PostgreSQL refuses what Avinode says; the same again would fail the same way.
        """
        try:
            async with transaction(self._pool) as db:
                yield db
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
            raise Unstorable(str(error)) from error

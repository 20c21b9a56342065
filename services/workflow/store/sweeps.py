"""Let go what deleted sessions and erased users had, in portions: each is a commit of its own, safe to repeat.

A trip goes with the last session that it was about. Until then it is nobody's: whoever attaches that trip takes its
names for another row. Whoever ties a session to a trip locks its row as the sweep does, so a tie that was committed
keeps its trip.
"""

from dataclasses import dataclass
from uuid import UUID

from shared.database import Connection, Pool, transaction
from shared.jobs.ledger import Erasure
from shared.sweeping import NOTED, PORTION, find_notes


@dataclass(frozen=True, slots=True)
class Gone:
    """Whose ties and orders are to go: those of one session, or without one all that are gone of a user."""

    user_id: str
    session_id: str | None = None


@dataclass(frozen=True, slots=True)
class Tie:
    user_id: str
    session_id: str
    trip_id: UUID


class SweepStore:
    """Which tombstones are to be swept; and the portions."""

    def __init__(self, pool: Pool, portion: int = PORTION) -> None:
        self._pool = pool
        self._portion = portion

    async def next_session(self) -> Gone | None:
        """Return a deleted session, against which nobody can write any more who has not seen its tombstone."""
        await find_notes(self._pool, "workflow.deleted_sessions", "swept_at IS NULL", self._portion)
        row = await self._pool.fetchrow(
            f"""
            SELECT user_id, session_id FROM workflow.deleted_sessions WHERE swept_at IS NULL AND {NOTED}
            ORDER BY noted_at LIMIT 1
            """  # noqa: S608 - a constant
        )
        return None if row is None else Gone(**row)

    async def settle_session(self, gone: Gone) -> None:
        """Note that nothing of a deleted session is left, unless it was deleted again meanwhile."""
        await self._pool.execute(
            """
            UPDATE workflow.deleted_sessions SET swept_at = clock_timestamp()
            WHERE user_id = $1 AND session_id = $2 AND noted_at <> 'infinity'
            """,
            gone.user_id,
            gone.session_id,
        )

    async def drop_tombstones(self, erasure: Erasure) -> bool:
        """Let the tombstones of before an erasure go; tell whether there were any."""
        rows = await self._pool.fetch(
            """
            DELETE FROM workflow.deleted_sessions WHERE user_id = $1 AND deleted_at <= $2 AND session_id IN (
                SELECT session_id FROM workflow.deleted_sessions WHERE user_id = $1 AND deleted_at <= $2 LIMIT $3)
            RETURNING session_id
            """,
            erasure.user_id,
            erasure.erased_at,
            self._portion,
        )
        return bool(rows)

    async def drop_orders(self, gone: Gone) -> bool:
        """Let a portion of the orders go; tell whether there were any. The answer to one that is sent finds none."""
        rows = await self._pool.fetch(
            """
            DELETE FROM workflow.requests WHERE request_id IN (
                SELECT request_id FROM workflow.requests
                WHERE user_id = $1 AND session_id = coalesce($2, session_id)
                    AND workflow.is_gone(user_id, session_id, created_at)
                LIMIT $3)
            RETURNING request_id
            """,
            gone.user_id,
            gone.session_id,
            self._portion,
        )
        return bool(rows)

    async def drop_proposals(self, gone: Gone) -> bool:
        """Let a portion of the proposals go, with whom they were sent to before; tell whether there was anything."""
        for query in (_OWN_SENDS, _OWN_PROPOSALS):
            if await self._pool.fetch(query, gone.user_id, gone.session_id, self._portion):
                return True
        return False

    async def untie(self, gone: Gone) -> bool:
        """Let one tie go, with the last one its trip, or a portion of what that has; tell whether there was one."""
        row = await self._pool.fetchrow(
            """
            SELECT user_id, session_id, trip_id FROM workflow.trip_sessions
            WHERE user_id = $1 AND session_id = coalesce($2, session_id)
                AND workflow.is_gone(user_id, session_id, started_at)
            LIMIT 1
            """,
            gone.user_id,
            gone.session_id,
        )
        if row is None:
            return False
        async with transaction(self._pool) as db:
            await self._untie(db, Tie(**row))
        return True

    async def _untie(self, db: Connection, tie: Tie) -> None:
        # Locked by a statement of its own, so that the next one sees who was tied to it meanwhile.
        names = await db.fetchrow(
            "SELECT avinode_trip_id, trip_code FROM workflow.trips WHERE trip_id = $1 FOR UPDATE", tie.trip_id
        )
        if names is None or not await db.fetchval("SELECT workflow.is_forsaken($1)", tie.trip_id):
            await self._drop_tie(db, tie)
            return
        await _settle_notices(db, *names)
        if not await self._empty(db, tie):
            await db.execute("DELETE FROM workflow.trips WHERE trip_id = $1", tie.trip_id)

    async def _drop_tie(self, db: Connection, tie: Tie) -> None:
        """Let a tie go whose trip stays with others."""
        await db.execute(
            """
            DELETE FROM workflow.trip_sessions WHERE user_id = $1 AND session_id = $2 AND trip_id = $3
                AND workflow.is_gone(user_id, session_id, started_at)
            """,
            tie.user_id,
            tie.session_id,
            tie.trip_id,
        )

    async def _empty(self, db: Connection, tie: Tie) -> bool:
        """Let a portion of what a trip has go; tell whether there was any. The one tie stays, by which it is found."""
        for query in _PARTS:
            if await db.fetch(query, tie.trip_id, self._portion):
                return True
        return bool(await db.fetch(_OTHER_TIES, tie.trip_id, self._portion, tie.user_id, tie.session_id))


async def _settle_notices(db: Connection, *names: str | None) -> None:
    """Let no notice wait any more for a trip that is to go. They stay as they came: pointers into Avinode."""
    await db.execute(
        """
        UPDATE workflow.deliveries SET state = 'ignored', error = 'its trip was deleted here',
            worked_at = clock_timestamp()
        WHERE state = 'unmatched' AND trip_code = ANY ($1::text[])
        """,
        names,
    )


_PART = """
    DELETE FROM workflow.{table} WHERE trip_id = $1 AND {key} IN (
        SELECT {key} FROM workflow.{table} WHERE trip_id = $1 LIMIT $2)
    RETURNING trip_id
"""
# Those of a proposal that goes, whoever sent it, and those that were sent by who goes.
_OWN_SENDS = """
    DELETE FROM workflow.proposal_sends WHERE event_id IN (
        SELECT s.event_id FROM workflow.proposal_sends s
        WHERE s.user_id = $1 AND s.session_id = coalesce($2, s.session_id)
            AND workflow.is_gone(s.user_id, s.session_id, s.created_at)
        UNION ALL
        SELECT s.event_id FROM workflow.proposals p JOIN workflow.proposal_sends s USING (proposal_id)
        WHERE p.user_id = $1 AND p.session_id = coalesce($2, p.session_id)
            AND workflow.is_gone(p.user_id, p.session_id, p.accepted_at)
        LIMIT $3)
    RETURNING event_id
"""
_OWN_PROPOSALS = """
    DELETE FROM workflow.proposals WHERE proposal_id IN (
        SELECT proposal_id FROM workflow.proposals
        WHERE user_id = $1 AND session_id = coalesce($2, session_id)
            AND workflow.is_gone(user_id, session_id, accepted_at)
        LIMIT $3)
    RETURNING proposal_id
"""
# Of somebody from whom an operator took the trip: it is their own word, and says why they have none.
_OTHERS_ORDERS = """
    UPDATE workflow.requests SET trip_id = NULL WHERE request_id IN (
        SELECT request_id FROM workflow.requests
        WHERE trip_id = $1 AND state = 'lost' AND NOT workflow.is_gone(user_id, session_id, created_at) LIMIT $2)
    RETURNING request_id
"""
_OTHER_TIES = """
    DELETE FROM workflow.trip_sessions WHERE trip_id = $1 AND (user_id, session_id) IN (
        SELECT user_id, session_id FROM workflow.trip_sessions
        WHERE trip_id = $1 AND (user_id, session_id) <> ($3, $4) LIMIT $2)
    RETURNING trip_id
"""
# What a trip has, in the order in which it goes. What another trip has taken over meanwhile, stays: the same thing of
# Avinode's, which was read for that one.
_PARTS = (
    *(
        _PART.format(table=table, key=key)
        for table, key in (
            ("trip_messages", "avinode_message_id"),
            ("quotes", "quote_id"),
            ("lifts", "lift_id"),
            ("rfqs", "rfq_id"),
            ("notes", "note_id"),
            ("proposal_sends", "event_id"),
            ("proposals", "proposal_id"),
        )
    ),
    _OTHERS_ORDERS,
    _PART.format(table="requests", key="request_id"),
)

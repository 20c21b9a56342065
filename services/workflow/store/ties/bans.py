"""From whom an operator took which trip, by what it is called at Avinode; within somebody's transaction.

It is the operator's word: it outlives the orders, sessions and erasure of the users, of whom it has a hash only.
"""

from collections.abc import Sequence
from uuid import UUID

from shared.database import Connection
from shared.events import TripReleased
from shared.ids import user_hash

RELEASED = "trip_released"  # the reason of their orders
WHY = "An operator has released this trip."


async def ban(db: Connection, release: TripReleased) -> None:
    """Note that these users shall not have the trip again."""
    await db.execute(
        """
        INSERT INTO workflow.bans (user_hash, trip_id, avinode_trip_id, trip_code)
        SELECT user_hash, trip_id, avinode_trip_id, trip_code
        FROM workflow.trips, unnest($2::bytea[]) AS banned (user_hash)
        WHERE trip_id = $1
        ON CONFLICT DO NOTHING
        """,
        release.trip_id,
        [user_hash(user_id) for user_id in set(release.user_ids)],
    )


async def is_banned(db: Connection, user_id: str, reference: str) -> bool:
    """Tell whether this user had the trip of that name, at Avinode, and it was taken from them.

    A code can come a second time, as a newer trip's: where a row of that code has another id, it is another trip.
    """
    return bool(
        await db.fetchval(
            """
            SELECT EXISTS (
                SELECT FROM workflow.bans b LEFT JOIN workflow.trips t
                    ON t.avinode_trip_id = $2 OR t.trip_code = $2
                WHERE b.user_hash = $1 AND (b.trip_id = t.trip_id OR $2 = b.avinode_trip_id
                    OR t.avinode_trip_id = b.avinode_trip_id
                    OR ($2 = b.trip_code AND (t.avinode_trip_id = b.avinode_trip_id) IS NOT false)))
            """,
            user_hash(user_id),
            reference,
        )
    )


async def name_bans(db: Connection, trip_ids: Sequence[UUID], avinode_trip_id: str, trip_code: str | None) -> None:
    """Note what a trip is called, of which these are the rows; a code that comes a second time is the newer trip's."""
    await db.execute(
        "UPDATE workflow.bans SET trip_code = NULL WHERE trip_code = $2 AND avinode_trip_id <> $1",
        avinode_trip_id,
        trip_code,
    )
    await db.execute(
        """
        UPDATE workflow.bans SET avinode_trip_id = $2, trip_code = coalesce($3, trip_code)
        WHERE trip_id = ANY ($1::uuid[]) OR avinode_trip_id = $2 OR trip_code = $3
        """,
        trip_ids,
        avinode_trip_id,
        trip_code,
    )


async def take_from_banned(db: Connection, trip_id: UUID, avinode_trip_id: str) -> None:
    """Take a trip from banned users who attached it by a name that nobody knew to be its own."""
    rows = await db.fetch(
        """
        SELECT DISTINCT user_id FROM workflow.trip_sessions
        WHERE trip_id = $1 AND tripthread.user_hash(user_id) IN (
            SELECT user_hash FROM workflow.bans WHERE avinode_trip_id = $2)
        """,
        trip_id,
        avinode_trip_id,
    )
    if rows:
        await take(db, trip_id, [row["user_id"] for row in rows])


async def take(db: Connection, trip_id: UUID, user_ids: Sequence[str]) -> list[tuple[str, str]]:
    """End these users' ties to the trip; returns the sessions that have lost it, each its user and id."""
    await db.execute(
        """
        UPDATE workflow.requests SET state = 'lost', code = $3, error = $4, updated_at = clock_timestamp()
        WHERE trip_id = $1 AND user_id = ANY ($2) AND state <> 'lost'
        """,
        trip_id,
        user_ids,
        RELEASED,
        WHY,
    )
    # Whoever has the trip after them sees nothing of theirs, nor whom they wrote to.
    await db.execute("DELETE FROM workflow.proposals WHERE trip_id = $1 AND user_id = ANY ($2)", trip_id, user_ids)
    await db.execute("DELETE FROM workflow.proposal_sends WHERE trip_id = $1 AND user_id = ANY ($2)", trip_id, user_ids)
    rows = await db.fetch(
        """
        UPDATE workflow.trip_sessions SET open = false, ended_at = coalesce(ended_at, clock_timestamp()),
            deleted_at = clock_timestamp()
        WHERE trip_id = $1 AND user_id = ANY ($2) AND deleted_at IS NULL
            AND NOT workflow.is_gone(user_id, session_id, started_at)
        RETURNING user_id, session_id
        """,
        trip_id,
        user_ids,
    )
    return [(row["user_id"], row["session_id"]) for row in rows]

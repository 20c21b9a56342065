"""Make two rows one that are the same trip at Avinode; within somebody's transaction, both rows locked."""

from uuid import UUID

from services.workflow.store.orders.fields import keep_newest
from services.workflow.store.orders.rows import move_orders
from shared.database import Connection
from shared.errors import NoSuchTrip


async def merge(db: Connection, kept: UUID, other: UUID, *, shared: bool) -> None:
    """Make `other` part of `kept`, with all that is known of it; a stranger's tie ends with its row."""
    await _drop_gone_ties(db, kept, other)
    await _reopen(db, kept, other)
    await _move_ties(db, kept, other, shared=shared)
    await move_orders(db, kept, other, NoSuchTrip())
    await _move_proposals(db, kept, other)
    await _move_facts(db, kept, other)
    await keep_newest(db, kept, other)
    await db.execute("DELETE FROM workflow.trips WHERE trip_id = $1", other)
    await db.execute("UPDATE workflow.trips SET updated_at = clock_timestamp() WHERE trip_id = $1", kept)


async def _move_ties(db: Connection, kept: UUID, other: UUID, *, shared: bool) -> None:
    await db.execute(
        """
        UPDATE workflow.trip_sessions s SET trip_id = $1
        WHERE trip_id = $2
            AND NOT EXISTS (SELECT FROM workflow.trip_sessions k
                WHERE k.trip_id = $1 AND k.user_id = s.user_id AND k.session_id = s.session_id)
            AND ($3 OR NOT EXISTS (SELECT FROM workflow.trip_sessions k
                WHERE k.trip_id = $1 AND k.user_id <> s.user_id AND k.deleted_at IS NULL))
        """,
        kept,
        other,
        shared,
    )


async def _move_facts(db: Connection, kept: UUID, other: UUID) -> None:
    """Take along what Avinode said, and the notes of declines that `kept` has not."""
    await db.execute(
        """
        WITH rfqs AS (UPDATE workflow.rfqs SET trip_id = $1 WHERE trip_id = $2),
            lifts AS (UPDATE workflow.lifts SET trip_id = $1 WHERE trip_id = $2),
            quotes AS (UPDATE workflow.quotes SET trip_id = $1 WHERE trip_id = $2)
        UPDATE workflow.trip_messages SET trip_id = $1 WHERE trip_id = $2
        """,
        kept,
        other,
    )
    await db.execute(
        """
        UPDATE workflow.notes n SET trip_id = $1
        WHERE trip_id = $2 AND kind = 'decline' AND NOT EXISTS (SELECT FROM workflow.notes k
            WHERE k.trip_id = $1 AND (k.kind, k.subject) = (n.kind, n.subject))
        """,
        kept,
        other,
    )


async def _move_proposals(db: Connection, kept: UUID, other: UUID) -> None:
    """Take the proposals along of whoever has the trip now; those of a stranger end with their row."""
    rows = await db.fetch(
        """
        UPDATE workflow.proposals p SET trip_id = $1
        WHERE trip_id = $2 AND EXISTS (SELECT FROM workflow.trip_sessions s
            WHERE s.trip_id = $1 AND s.user_id = p.user_id AND s.deleted_at IS NULL)
        RETURNING proposal_id
        """,
        kept,
        other,
    )
    await db.execute(
        "UPDATE workflow.proposal_sends SET trip_id = $1 WHERE proposal_id = ANY ($2::uuid[])",
        kept,
        [row["proposal_id"] for row in rows],
    )


async def _drop_gone_ties(db: Connection, kept: UUID, other: UUID) -> None:
    """Let what was deleted have no say in who has the trip; where all was, a tie stays, by which it is swept."""
    await db.execute(
        """
        DELETE FROM workflow.trip_sessions
        WHERE trip_id IN ($1, $2) AND workflow.is_gone(user_id, session_id, started_at)
            AND EXISTS (SELECT FROM workflow.trip_sessions s WHERE s.trip_id IN ($1, $2) AND s.deleted_at IS NULL
                AND NOT workflow.is_gone(s.user_id, s.session_id, s.started_at))
        """,
        kept,
        other,
    )


async def _reopen(db: Connection, kept: UUID, other: UUID) -> None:
    """Give `kept` back to the sessions that let it go, unconfirmed, and then attached it as `other`."""
    sessions = await db.fetch(
        """
        UPDATE workflow.trip_sessions o SET open = false, ended_at = clock_timestamp()
        FROM workflow.trip_sessions k JOIN workflow.trips t USING (trip_id)
        WHERE o.trip_id = $2 AND o.open AND k.trip_id = $1 AND NOT k.open AND t.closed_at IS NULL
            AND (k.user_id, k.session_id) = (o.user_id, o.session_id)
        RETURNING o.user_id, o.session_id
        """,
        kept,
        other,
    )
    # A statement of its own: a session has one open trip at every moment.
    await db.execute(
        """
        UPDATE workflow.trip_sessions SET open = true, ended_at = NULL
        WHERE trip_id = $1 AND (user_id, session_id) IN (SELECT * FROM unnest($2::text[], $3::text[]))
        """,
        kept,
        [session["user_id"] for session in sessions],
        [session["session_id"] for session in sessions],
    )

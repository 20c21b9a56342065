"""Which sessions are about which trip, and which rows are the same trip at Avinode; within somebody's transaction."""

from typing import Literal
from uuid import UUID

from services.workflow.store.orders.fields import keep_newest
from services.workflow.store.orders.rows import move_orders
from services.workflow.store.orders.tombstones import forsake, living_of
from services.workflow.store.ties.bans import name_bans, take_from_banned
from shared.database import Connection
from shared.errors import NoSuchTrip
from shared.events import TripAdvanced


async def advanced(
    db: Connection, trip_id: UUID, causes: tuple[UUID, ...] = (), changed: tuple[str, ...] = ("trip",)
) -> list[TripAdvanced]:
    """Make the outcomes for everybody whose session is about this trip."""
    rows = await db.fetch(
        """
        SELECT user_id, session_id FROM workflow.trip_sessions
        WHERE trip_id = $1 AND deleted_at IS NULL AND NOT workflow.is_gone(user_id, session_id, started_at)
        """,
        trip_id,
    )
    return [TripAdvanced(**row, trip_id=trip_id, causes=causes, changed=changed) for row in map(dict, rows)]


async def close_trip(
    db: Connection, trip_id: UUID, error: str | None = None, *, outcome: Literal["completed", "cancelled"] = "cancelled"
) -> bool:
    """End a trip that is done, that Avinode cancelled or will never have; its sessions may have another.

    Returns:
        Whether it has not ended before.
    """
    has_ended = await db.fetchval(
        """
        UPDATE workflow.trips SET closed_at = clock_timestamp(), outcome = $3, error = $2,
            updated_at = clock_timestamp()
        WHERE trip_id = $1 AND closed_at IS NULL RETURNING true
        """,
        trip_id,
        error,
        outcome,
    )
    await db.execute(
        """
        UPDATE workflow.trip_sessions SET open = false, ended_at = clock_timestamp() WHERE trip_id = $1 AND open
        """,
        trip_id,
    )
    return bool(has_ended)


async def name_trip(
    db: Connection, trip_id: UUID, avinode_trip_id: str, trip_code: str | None, *, shared: bool
) -> UUID | None:
    """Give a trip its names at Avinode, and look again at the notices that waited for them.

    Rows may turn out to be one trip: attached by its id here and by its code there, or requested here with an
    answer that was lost, and attached there. They become one. Rows of other ids never do, whatever their code: a code
    that comes a second time is the newer trip's. Nor does one that is to go, since only deleted sessions were about it.

    Returns:
        The row that stays: one that was requested before others, the oldest before others. None where it is gone.
    """
    rows = await db.fetch(
        """
        SELECT trip_id FROM workflow.trips t
        WHERE trip_id = $1 OR avinode_trip_id = $2 OR (trip_code = $3 AND avinode_trip_id IS NULL)
        ORDER BY EXISTS (SELECT FROM workflow.requests r WHERE r.trip_id = t.trip_id AND r.kind = 'request'
            AND r.state <> 'lost') DESC, created_at, trip_id
        FOR UPDATE
        """,
        trip_id,
        avinode_trip_id,
        trip_code,
    )
    await name_bans(db, [trip_id, *(row["trip_id"] for row in rows)], avinode_trip_id, trip_code)
    if not rows:
        return None
    kept, *others = await _without_forsaken(db, [row["trip_id"] for row in rows], avinode_trip_id, trip_code)
    for other in others:
        await _merge(db, kept, other, shared=shared)
    await _write_names(db, kept, avinode_trip_id, trip_code)
    await take_from_banned(db, kept, avinode_trip_id)
    await _look_again(db, avinode_trip_id, trip_code)
    return kept


async def _without_forsaken(db: Connection, trip_ids: list[UUID], *names: str | None) -> list[UUID]:
    """Leave out the rows that are to go, unless all are; the names are no longer theirs then."""
    living = await living_of(db, trip_ids) if len(trip_ids) > 1 else trip_ids
    if 0 < len(living) < len(trip_ids):
        await forsake(db, *names)
    return living or trip_ids


async def _write_names(db: Connection, trip_id: UUID, avinode_trip_id: str, trip_code: str | None) -> None:
    await db.execute(
        "UPDATE workflow.trips SET trip_code = NULL WHERE trip_code = $1 AND trip_id <> $2", trip_code, trip_id
    )
    await db.execute(
        "UPDATE workflow.trips SET avinode_trip_id = $2, trip_code = coalesce($3, trip_code) WHERE trip_id = $1",
        trip_id,
        avinode_trip_id,
        trip_code,
    )


async def _look_again(db: Connection, *names: str | None) -> None:
    """Work the notices that have waited for a trip of one of these names."""
    await db.execute(
        """
        UPDATE workflow.deliveries SET state = 'due', due_at = clock_timestamp()
        WHERE state = 'unmatched' AND trip_code = ANY ($1::text[])
        """,
        names,
    )


async def _merge(db: Connection, kept: UUID, other: UUID, *, shared: bool) -> None:
    """Make `other` part of `kept`, with all that is known of it; a stranger's tie ends with its row."""
    await _drop_gone_ties(db, kept, other)
    await _reopen(db, kept, other)
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
    await move_orders(db, kept, other, NoSuchTrip())
    await _move_proposals(db, kept, other)
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
    await keep_newest(db, kept, other)
    await db.execute("DELETE FROM workflow.trips WHERE trip_id = $1", other)
    await db.execute("UPDATE workflow.trips SET updated_at = clock_timestamp() WHERE trip_id = $1", kept)


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

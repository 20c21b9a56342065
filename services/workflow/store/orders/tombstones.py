"""Note what is gone: the tombstones of deleted sessions, and what an erased user had when they begin anew.

What counts as gone is said once, by `workflow.is_gone` and `workflow.is_forsaken` of the database. Within somebody's
transaction.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from services.workflow.store.orders.rows import Order, request_id_of
from shared.database import Connection
from shared.events import SessionDeleted
from shared.ids import scoped


async def hold_session(db: Connection, user_id: str, session_id: str) -> None:
    """Let nobody else order a trip for this session, or note that it is deleted, until the transaction ends."""
    await db.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", scoped(user_id, session_id))


async def note_deleted(db: Connection, events: Sequence[SessionDeleted]) -> None:
    """Leave a tombstone of each session, and end its ties. One of before its user's erasure says nothing."""
    sessions = sorted({(event.user_id, event.session_id) for event in events})
    for session in sessions:
        await hold_session(db, *session)
    await _leave_tombstones(db, events)
    await db.execute(
        """
        UPDATE workflow.trip_sessions s SET open = false, ended_at = coalesce(ended_at, clock_timestamp()),
            deleted_at = clock_timestamp()
        FROM unnest($1::text[], $2::text[]) AS gone (user_id, session_id)
        WHERE (s.user_id, s.session_id) = (gone.user_id, gone.session_id) AND s.deleted_at IS NULL
            AND workflow.is_gone(s.user_id, s.session_id, 'infinity')  -- by the tombstone, whenever the tie began
        """,
        [user_id for user_id, _ in sessions],
        [session_id for _, session_id in sessions],
    )


async def _leave_tombstones(db: Connection, events: Sequence[SessionDeleted]) -> None:
    """A session can be deleted again only once its user's erasure has made an end of its first tombstone."""
    await db.execute(
        """
        INSERT INTO workflow.deleted_sessions AS known (user_id, session_id, deleted_at, event_id)
        SELECT DISTINCT ON (user_id, session_id) * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::uuid[])
            AS gone (user_id, session_id, deleted_at, event_id)
        WHERE NOT EXISTS (SELECT FROM workflow.erased_users e
            WHERE e.user_hash = tripthread.user_hash(gone.user_id) AND e.erased_at >= gone.deleted_at)
        ORDER BY user_id, session_id, deleted_at DESC
        ON CONFLICT (user_id, session_id) DO UPDATE SET deleted_at = excluded.deleted_at, event_id = excluded.event_id,
            noted_by = excluded.noted_by, noted_at = excluded.noted_at, swept_at = NULL
            WHERE known.deleted_at < excluded.deleted_at
        """,
        [event.user_id for event in events],
        [event.session_id for event in events],
        [event.deleted_at for event in events],
        [event.event_id for event in events],
    )


async def is_gone(db: Connection, order: Order) -> bool:
    """Tell whether an order comes too late: its session was deleted, or its user erased since.

    Of a user who begins anew after an erasure, what stands in the order's way is ended: its session's open tie, and an
    order of before by the same key.
    """
    (row,) = await db.fetch(
        """
        SELECT workflow.is_gone($1, $2, $3) AS is_gone, (SELECT e.erased_at FROM workflow.erased_users e
            WHERE e.user_hash = tripthread.user_hash($1)) AS erased_at
        """,
        order.user_id,
        order.session_id,
        order.accepted,
    )
    if row["is_gone"]:
        return True
    if row["erased_at"] is not None:
        await _make_way(db, order, row["erased_at"])
    return False


async def _make_way(db: Connection, order: Order, erased_at: datetime) -> None:
    await db.execute(
        """
        UPDATE workflow.trip_sessions SET open = false, ended_at = clock_timestamp()
        WHERE user_id = $1 AND session_id = $2 AND open AND started_at <= $3
        """,
        order.user_id,
        order.session_id,
        erased_at,
    )
    await db.execute(
        """
        DELETE FROM workflow.requests WHERE (promised_trip_id = $1 OR request_id = $2) AND created_at <= $3
        """,
        order.trip_id,
        request_id_of(order),
        erased_at,
    )
    await db.execute("DELETE FROM workflow.trips WHERE trip_id = $1 AND workflow.is_forsaken(trip_id)", order.trip_id)


async def forsake(db: Connection, *names: str | None) -> None:
    """Take their names from trips that only deleted sessions were about: whoever attaches such a trip has another."""
    # Locked by a statement of its own, so that the next one sees who was tied to it meanwhile.
    await db.execute(
        """
        SELECT FROM workflow.trips WHERE avinode_trip_id = ANY ($1::text[]) OR trip_code = ANY ($1::text[])
        ORDER BY trip_id FOR UPDATE
        """,
        names,
    )
    await db.execute(
        """
        UPDATE workflow.trips SET avinode_trip_id = NULL, trip_code = NULL
        WHERE (avinode_trip_id = ANY ($1::text[]) OR trip_code = ANY ($1::text[])) AND workflow.is_forsaken(trip_id)
        """,
        names,
    )


async def living_of(db: Connection, trip_ids: Sequence[UUID]) -> list[UUID]:
    """Return those of these trips that are not forsaken, in their order."""
    rows = await db.fetch(
        """
        SELECT trip_id FROM unnest($1::uuid[]) WITH ORDINALITY AS asked (trip_id, place)
        WHERE NOT workflow.is_forsaken(trip_id) ORDER BY place
        """,
        trip_ids,
    )
    return [row["trip_id"] for row in rows]

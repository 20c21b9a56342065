"""Give a trip its names at Avinode, by which rows turn out to be the same trip; within somebody's transaction."""

from uuid import UUID

from services.workflow.store.orders.tombstones import forsake, living_of
from services.workflow.store.ties.bans import name_bans, take_from_banned
from services.workflow.store.ties.merging import merge
from shared.database import Connection


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
        await merge(db, kept, other, shared=shared)
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

"""Who holds a trip, for administrators and operators."""

from dataclasses import dataclass
from uuid import UUID

from shared.database import Pool, reading


@dataclass(frozen=True)
class HeldTrip:
    trip_id: UUID
    user_ids: list[str]  # those whose sessions are about it


async def held_trip(pool: Pool, name: UUID | str) -> HeldTrip | None:
    """Find a trip by our id, Avinode's or its code, with its holders; `pool` is one of the administrators' role."""
    async with reading(pool) as db:
        row = await db.fetchrow(
            """
            SELECT t.trip_id, ARRAY (SELECT DISTINCT s.user_id FROM workflow.trip_sessions s
                WHERE s.trip_id = t.trip_id AND s.deleted_at IS NULL ORDER BY s.user_id) AS user_ids
            FROM workflow.trips t WHERE t.trip_id::text = $1 OR t.avinode_trip_id = $1 OR t.trip_code = $1
            ORDER BY t.trip_id::text = $1 DESC LIMIT 1
            """,
            str(name),
        )
    return None if row is None else HeldTrip(**row)

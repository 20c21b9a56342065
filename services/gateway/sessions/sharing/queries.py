"""Read what others share with a caller, as the database's own functions decide it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.gateway.account.identity import Caller
from services.gateway.http.requests.cursors import Place
from services.gateway.sessions.sharing.store import SharedSession
from shared.database import Pool, reading


@dataclass(frozen=True)
class SharedRow:
    """A session that somebody shares with the caller."""

    share_id: UUID
    title: str | None
    created_at: datetime
    expires_at: datetime | None
    project_id: str | None  # with which; none: with the caller by name


class SharedQueries:
    def __init__(self, pool: Pool) -> None:
        """Prepare; the pool is of the reader's login."""
        self._pool = pool

    async def page(self, caller: Caller, limit: int, before: Place | None) -> Sequence[tuple[Place, SharedRow]]:
        """Return what is shared with a caller and has not ended, the newest first, from this place on."""
        async with reading(self._pool, *caller.user_ids) as db:
            rows = await db.fetch(
                """
                SELECT * FROM gateway.shared_page($1, coalesce($2::timestamptz, 'infinity'),
                    coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'), $4)
                """,
                caller.projects,
                *(before or (None, None)),
                limit,
            )
        return [((row["created_at"], str(row["share_id"])), SharedRow(**dict(row))) for row in rows]

    async def find(self, caller: Caller, share_id: UUID) -> SharedSession | None:
        """Return what is shared with a caller by this id; it may have ended."""
        async with reading(self._pool, *caller.user_ids) as db:
            row = await db.fetchrow("SELECT * FROM gateway.shared_one($1, $2)", share_id, caller.projects)
        return SharedSession(**dict(row)) if row else None

"""The SQL of gateway.linked_visitors."""

from collections.abc import Collection, Mapping
from datetime import datetime

from services.gateway.account.one_by_one import one_by_one
from shared.database import Pool, fetched

MOST_VISITORS = 100  # of one user: each is one more owner in whatever they read
OVERLAP_S = 10  # by which what is new is asked for again: a link may be committed after it was made


class LinkStore:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def of(self, user_id: str) -> tuple[str, ...]:
        """Return the visitors of a user, in the order in which they signed in."""
        rows = await fetched(
            self._pool,
            "SELECT visitor_id FROM gateway.linked_visitors WHERE user_id = $1 ORDER BY linked_at, visitor_id",
            user_id,
        )
        return tuple(row["visitor_id"] for row in rows)

    async def owner_of(self, visitor_id: str) -> str | None:
        """Return whose a visitor's chats are."""
        rows = await fetched(
            self._pool, "SELECT user_id FROM gateway.linked_visitors WHERE visitor_id = $1", visitor_id
        )
        return rows[0]["user_id"] if rows else None

    async def link(self, visitor_id: str, user_id: str) -> str | None:
        """Link a visitor who is nobody's, and return whose they are; None where this user has as many as they may."""
        async with one_by_one(self._pool, "visitors", user_id) as db:
            await db.execute(
                f"""
                INSERT INTO gateway.linked_visitors (visitor_id, user_id)
                SELECT $1, $2 WHERE (SELECT count(*) FROM gateway.linked_visitors WHERE user_id = $2) < {MOST_VISITORS}
                ON CONFLICT (visitor_id) DO NOTHING
                """,  # noqa: S608 - a constant of this module
                visitor_id,
                user_id,
            )
        return await self.owner_of(visitor_id)

    async def heard(self, visitor_ids: Collection[str], since: datetime | None) -> tuple[Mapping[str, str], datetime]:
        """Return the links of these visitors and those that are new since then, and up to when that is."""
        rows = await fetched(
            self._pool,
            """
            SELECT now.at, l.visitor_id, l.user_id
            FROM (SELECT clock_timestamp() AS at) AS now LEFT JOIN gateway.linked_visitors l
                ON l.visitor_id = ANY ($1::text[]) OR l.linked_at > $2::timestamptz - make_interval(secs => $3)
            """,
            list(visitor_ids),
            since,
            OVERLAP_S,
        )
        return {row["visitor_id"]: row["user_id"] for row in rows if row["visitor_id"] is not None}, rows[0]["at"]

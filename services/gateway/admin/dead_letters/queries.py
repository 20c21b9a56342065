"""Read chat.dead_letters, by the administrators' role: what could not be processed, and what became of it."""

from uuid import UUID

from services.gateway.admin.dead_letters.answers import DeadLetter, Parked
from services.gateway.http.requests.cursors import Place
from services.gateway.sessions.finding.page_keys import PLANNED_BY_VALUES
from shared.database import Connection, Pool, reading


async def letters_of(
    db: Connection, reason: str | None, state: str | None, limit: int, before: Place | None
) -> list[tuple[Place, DeadLetter]]:
    """Read a page of those with this reason and in this state; of each there is an index in this order."""
    received_before, id_before = before or (None, None)
    rows = await db.fetch(
        """
        SELECT dead_letter_id AS id, queue, event_id, event_name, reason, error, user_id, state, decided_by,
            decided_at, received_at, arrivals, octet_length(body) AS size_bytes
        FROM chat.dead_letters
        WHERE (received_at, dead_letter_id) < (coalesce($4::timestamptz, 'infinity'),
                coalesce($5::uuid, '00000000-0000-0000-0000-000000000000'))
            AND ($1::text IS NULL OR reason = $1)
            AND ($2::text IS NULL OR state = $2)
        ORDER BY received_at DESC, dead_letter_id DESC LIMIT $3
        """,
        reason,
        state,
        limit,
        received_before,
        id_before,
    )
    return [((row["received_at"], str(row["id"])), DeadLetter.model_validate(dict(row))) for row in rows]


class DeadLetterQueries:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(
        self, *, reason: str | None, state: str | None, limit: int, before: Place | None
    ) -> list[tuple[Place, DeadLetter]]:
        """Return up to `limit` dead letters, the newest first, each with its place in that order."""
        async with reading(self._pool, first=PLANNED_BY_VALUES) as db:
            return await letters_of(db, reason, state, limit, before)

    async def parked(self) -> list[tuple[str, int]]:
        """Count those that wait for an operator, by their queue, among the 10,000 newest letters."""
        async with reading(self._pool) as db:
            rows = await db.fetch(
                """
                SELECT queue, count(*) FILTER (WHERE state = 'parked') AS parked
                FROM (SELECT queue, state FROM chat.dead_letters
                    ORDER BY received_at DESC, dead_letter_id DESC LIMIT 10000) newest
                GROUP BY queue
                """
            )
        return [(row["queue"], row["parked"]) for row in rows]

    async def find(self, dead_letter_id: UUID) -> Parked | None:
        """Return one with its body, which is for its queue and nobody else."""
        async with reading(self._pool) as db:
            row = await db.fetchrow(
                """
                SELECT dead_letter_id AS id, queue, event_id, event_name, reason, error, user_id, state, decided_by,
                    decided_at, received_at, arrivals, octet_length(body) AS size_bytes, body, headers
                FROM chat.dead_letters WHERE dead_letter_id = $1
                """,
                dead_letter_id,
            )
        return None if row is None else Parked(DeadLetter.model_validate(dict(row)), row["body"], row["headers"])

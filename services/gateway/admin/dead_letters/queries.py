"""Read chat.dead_letters, by the administrators' role: what could not be processed, and what became of it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.gateway.admin.dead_letters.answers import DeadLetter, Parked
from services.gateway.http.requests.cursors import Place
from services.gateway.sessions.finding.page_keys import PLANNED_BY_VALUES
from shared.database import Connection, Pool, reading

_OF_USER = "(SELECT * FROM chat.dead_letters own WHERE own.user_id = $6 OFFSET 0) AS letters"


@dataclass(frozen=True)
class LetterFilter:
    """Which letters; None: all. Of a reason, of a state and of the time there is an index in the list's order."""

    reason: str | None = None
    state: str | None = None
    user: str | None = None  # whom they name
    since: datetime | None = None  # when they came
    until: datetime | None = None


async def letters_of(
    db: Connection, which: LetterFilter, limit: int, before: Place | None
) -> list[tuple[Place, DeadLetter]]:
    """Read a page, the newest first."""
    received_before, id_before = before or (None, None)
    # One user's are looked up by their index, whatever the planner takes the table for.
    source = "chat.dead_letters" if which.user is None else _OF_USER
    rows = await db.fetch(
        f"""
        SELECT dead_letter_id AS id, queue, event_id, event_name, reason, error, user_id, state, decided_by,
            decided_at, received_at, arrivals, octet_length(body) AS size_bytes
        FROM {source}
        WHERE (received_at, dead_letter_id) < (coalesce($4::timestamptz, 'infinity'),
                coalesce($5::uuid, '00000000-0000-0000-0000-000000000000'))
            AND ($1::text IS NULL OR reason = $1)
            AND ($2::text IS NULL OR state = $2)
            AND ($6::text IS NULL OR user_id = $6)
            AND ($7::timestamptz IS NULL OR received_at >= $7) AND ($8::timestamptz IS NULL OR received_at < $8)
        ORDER BY received_at DESC, dead_letter_id DESC LIMIT $3
        """,  # noqa: S608 - constants of this module
        which.reason,
        which.state,
        limit,
        received_before,
        id_before,
        which.user,
        which.since,
        which.until,
    )
    return [((row["received_at"], str(row["id"])), DeadLetter.model_validate(dict(row))) for row in rows]


class DeadLetterQueries:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(self, which: LetterFilter, limit: int, before: Place | None) -> list[tuple[Place, DeadLetter]]:
        """Return up to `limit` dead letters, the newest first, each with its place in that order."""
        async with reading(self._pool, first=PLANNED_BY_VALUES) as db:
            return await letters_of(db, which, limit, before)

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

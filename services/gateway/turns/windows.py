"""Read gateway.turns for pages of what was said in a session, as far back as they go."""

from datetime import datetime

from services.gateway.turns.rows import COLUMNS, read_turn
from services.gateway.turns.turn import Turn
from shared.database import Pool, borrowed


class TurnWindows:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def said_between(
        self,
        user_id: str,
        session_id: str,
        after: datetime | None,
        before: datetime | None,
        limit: int | None,
        *,
        oldest_first: bool = False,
    ) -> list[Turn]:
        """Return up to `limit` turns of one session that said something new from one moment to another.

        A turn says something up to three times, whether the others are in the window or not: what came with the
        question, the question, and the answer. Its place is of those in the window the one nearest to the end that is
        read from; so `limit` turns hold at least `limit` messages, those on the very edges included.
        """
        async with borrowed(self._pool) as db:
            rows = await db.fetch(
                f"""
                SELECT {COLUMNS} FROM gateway.turns CROSS JOIN LATERAL (
                    SELECT min(at) AS first, max(at) AS last
                    FROM (VALUES
                        (CASE WHEN NOT (question -> 'is_known')::boolean THEN asked_at END),
                        (asked_at - nullif(jsonb_array_length(question -> 'earlier'), 0) * interval '1 microsecond'),
                        (answered_at)) AS spoken (at)
                    WHERE at BETWEEN coalesce($3::timestamptz, '-infinity') AND coalesce($4::timestamptz, 'infinity')
                ) said
                WHERE user_id = $1 AND session_id = $2 AND said.last IS NOT NULL
                ORDER BY CASE WHEN $6::boolean THEN said.first END, said.last DESC LIMIT $5::bigint
                """,  # noqa: S608 - a constant of this folder
                user_id,
                session_id,
                after,
                before,
                limit,
                oldest_first,
            )
        return [read_turn(row) for row in rows]

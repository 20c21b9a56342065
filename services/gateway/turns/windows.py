"""Read gateway.turns for pages of what was said in a session, as far back as they go."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from services.gateway.turns.rows import COLUMNS, read_turn
from services.gateway.turns.store import LISTED_TURNS
from services.gateway.turns.turn import Turn
from shared.database import Connection, Pool, borrowed
from shared.ids import answer_id


@dataclass(frozen=True)
class Spoken:
    """When a session's newest turn was said."""

    user_id: str
    session_id: str
    at: datetime


class TurnWindows:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def said_between(
        self,
        user_id: str,
        session_id: str,
        after: datetime | None,
        before: datetime | None,
        limit: int,
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
                    AND place >= coalesce($3::timestamptz, '-infinity')  -- it is the last of these moments
                ORDER BY CASE WHEN $6::boolean THEN said.first END, said.last DESC LIMIT $5
                """,  # noqa: S608 - a constant of this folder
                user_id,
                session_id,
                after,
                before,
                limit,
                oldest_first,
            )
        return [read_turn(row) for row in rows]

    async def last_spoken(self, user_ids: Sequence[str]) -> list[Spoken]:
        """Tell when each session was spoken in last, of those in which somebody spoke within a day."""
        async with borrowed(self._pool) as db:
            rows = await db.fetch(
                f"""
                SELECT user_id, session_id, max(place) AS at FROM (
                    SELECT user_id, session_id, place FROM gateway.turns
                    WHERE user_id = ANY ($1) AND asked_at > clock_timestamp() - interval '1 day'
                    ORDER BY asked_at DESC LIMIT {LISTED_TURNS}) turn
                GROUP BY user_id, session_id
                """,  # noqa: S608
                list(user_ids),
            )
        return [Spoken(**row) for row in map(dict, rows)]

    async def saying(self, user_id: str, session_id: str, message_id: str) -> list[Turn]:
        """Return those turns of one session, however long ago, of which this message is a part.

        An answer's id follows from its turn, so turns are looked through by what is small of them.
        """
        async with borrowed(self._pool) as db:
            answering = await _answering(db, user_id, session_id, message_id)
            rows = await db.fetch(
                f"""
                SELECT {COLUMNS} FROM gateway.turns
                WHERE user_id = $1 AND session_id = $2 AND (turn_id = ANY ($3) OR question ->> 'message_id' = $4
                    OR question -> 'earlier' @> jsonb_build_array(jsonb_build_object('message_id', $4::text)))
                """,  # noqa: S608
                user_id,
                session_id,
                answering,
                message_id,
            )
        return [read_turn(row) for row in rows]


async def _answering(db: Connection, user_id: str, session_id: str, message_id: str) -> list[Any]:
    rows: list[asyncpg.Record] = await db.fetch(
        "SELECT turn_id, attempt FROM gateway.turns WHERE user_id = $1 AND session_id = $2", user_id, session_id
    )
    return [row["turn_id"] for row in rows if str(answer_id(row["turn_id"], row["attempt"])) == message_id]

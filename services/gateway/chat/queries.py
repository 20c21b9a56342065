"""Read for the next turn what was said last, stored or not, and what led to a message of long ago."""

from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg

from services.gateway.turns.past.said import Said
from services.gateway.turns.stored.readings import NEWEST, Unstored
from services.gateway.turns.stored.rows import read_glimpse
from services.gateway.turns.turn import Question
from shared.database import Pool, database_span, fetched, reading

REMEMBERED = 200  # stored messages of a session, the newest


async def session_past(
    pool: Pool, user_ids: Sequence[str], session_id: str, about: Sequence[str], *, resent: int, most_bytes: int
) -> tuple[Unstored, list[asyncpg.Record]]:
    """Return the turns of each user's session of this id that are not stored, and rows of what is.

    A row is of the session itself, stored or opened, or of a message: of those the newest, those asked about, and the
    first that users said, as the function says in its revision, `deploy/migrations/sql/0016_opened.up.sql`.
    """
    with database_span("read"):
        rows = await fetched(
            pool,
            """
            SELECT past.* FROM tripthread.read_as($1) AS reading (users),
                gateway.past_with_opening(reading.users, $2, $3, $4, $5, $6, $7) AS past
            """,
            list(user_ids),
            session_id,
            list(about),
            resent,
            REMEMBERED,
            most_bytes,
            NEWEST,
        )
    of_turns = [row for row in rows if row["newest"] is not None]
    places = {row["user_id"]: row["newest"] for row in of_turns}
    turns = [read_glimpse(row) for row in of_turns if row["turn_id"] is not None]
    return Unstored(turns, places), [row for row in rows if row["newest"] is None]


async def branches(
    pool: Pool, user_id: str, session_id: str, leaves: Iterable[str], *, steps: int, most_bytes: int
) -> list[Said]:
    """Return these messages, and of those that led to each the nearest, with texts as `session_past` has them."""
    async with reading(pool, user_id) as db:
        rows = await db.fetch(
            """
            WITH RECURSIVE path (message_id, parent_id, steps) AS (
                SELECT m.message_id, m.parent_id, 1 FROM chat.messages m
                WHERE m.user_id = $1 AND m.session_id = $2 AND m.message_id = ANY ($3)
                UNION ALL
                SELECT m.message_id, m.parent_id, path.steps + 1 FROM path JOIN chat.messages m
                    ON m.user_id = $1 AND m.session_id = $2 AND m.message_id = path.parent_id
                WHERE path.steps < $4
            )
            SELECT m.message_id, m.role, m.parent_id, m.created_at, m.client_message_id,
                CASE WHEN sum(octet_length(m.content)) OVER newer <= $5 THEN m.content END AS content
            FROM chat.messages m
            WHERE m.user_id = $1 AND m.session_id = $2 AND m.message_id IN (SELECT path.message_id FROM path)
            WINDOW newer AS (ORDER BY m.created_at DESC, m.message_id DESC ROWS UNBOUNDED PRECEDING)
            """,
            user_id,
            session_id,
            list(leaves),
            steps,
            most_bytes,
        )
    return [Said(**row) for row in map(dict, rows)]


async def stored_calls(
    pool: Pool, user_id: str, session_id: str, message_ids: Sequence[str], most_bytes: int
) -> dict[str, list[dict[str, Any]]]:
    """Return the parts of those of these answers for which tools were called, as far back as they are `most_bytes`."""
    async with reading(pool, user_id) as db:
        rows = await db.fetch(
            """
            SELECT message_id, parts FROM (
                SELECT message_id, parts, sum(octet_length(parts::text)) OVER newer AS total
                FROM chat.messages
                WHERE user_id = $1 AND session_id = $2 AND message_id = ANY ($3)
                    AND jsonb_path_exists(parts, '$[*].toolCallId')
                WINDOW newer AS (ORDER BY created_at DESC, message_id DESC ROWS UNBOUNDED PRECEDING)) called
            WHERE total <= $4
            """,
            user_id,
            session_id,
            list(message_ids),
            most_bytes,
        )
    return {row["message_id"]: row["parts"] for row in rows}


async def stored_question(pool: Pool, user_id: str, session_id: str, message_id: str) -> Question | None:
    """Return a stored message whole, as the question that is asked again."""
    async with reading(pool, user_id) as db:
        row = await db.fetchrow(
            """
            SELECT message_id, content, parts, parent_id, client_message_id, metadata, true AS is_known,
                created_at AS said_at
            FROM chat.messages WHERE user_id = $1 AND session_id = $2 AND message_id = $3
            """,
            user_id,
            session_id,
            message_id,
        )
    return Question(**row) if row else None


def said_of(rows: Iterable[asyncpg.Record]) -> list[Said]:
    """Make messages of the rows of `session_past`; of several of one message there is what any of them has."""
    by_id: dict[str, Said] = {}
    for row in rows:
        message_id = row["message_id"]
        if message_id is None:
            continue  # it only tells of its session
        known = by_id.get(message_id)
        by_id[message_id] = Said(
            message_id,
            row["role"],
            row["parent_id"],
            row["created_at"],
            row["client_message_id"],
            row["content"] if known is None or known.content is None else known.content,
            row["digest"] if known is None or known.digest is None else known.digest,
            row["is_clients"],
        )
    return list(by_id.values())

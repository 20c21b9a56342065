"""Read chat.messages for the next turn: what was said last, and what led to a message of long ago."""

from collections.abc import Iterable, Sequence

import asyncpg

from services.gateway.turns.history import HistoryMessage
from shared.database import Pool, reading


async def stored_messages(
    pool: Pool, user_ids: Sequence[str], session_id: str, about: Sequence[str], *, resent: int, newest: int
) -> list[asyncpg.Record]:
    """Return the newest messages of each user's session of this id, those asked about, and the first that users said.

    A session without messages is a row too: it may be deleted.
    """
    async with reading(pool, *user_ids) as db:
        return await db.fetch(
            """
            SELECT s.user_id, s.deleted_at IS NOT NULL AS deleted, m.message_id, m.role, m.content, m.parts,
                   m.model, m.status, m.parent_id, m.created_at, m.metadata, m.error, m.client_message_id
            FROM chat.sessions s
            LEFT JOIN LATERAL (
                (SELECT * FROM chat.messages n
                WHERE n.user_id = s.user_id AND n.session_id = s.session_id
                ORDER BY n.created_at DESC, n.message_id DESC LIMIT $3)
                UNION ALL
                SELECT * FROM chat.messages a
                WHERE a.user_id = s.user_id AND a.session_id = s.session_id AND a.message_id = ANY ($4)
                UNION ALL
                SELECT * FROM chat.messages e
                WHERE e.user_id = s.user_id AND e.session_id = s.session_id AND e.client_message_id = ANY ($4)
                UNION ALL
                (SELECT * FROM chat.messages f
                WHERE f.user_id = s.user_id AND f.session_id = s.session_id AND f.role = 'user'
                ORDER BY f.created_at, f.message_id LIMIT $5)
            ) m ON true
            WHERE s.user_id = ANY ($1) AND s.session_id = $2
            """,
            list(user_ids),
            session_id,
            newest,
            list(about),
            resent,
        )


async def branches(
    pool: Pool, user_id: str, session_id: str, leaves: Iterable[str], steps: int
) -> list[HistoryMessage]:
    """Return these messages, and of those that led to each the nearest."""
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
            SELECT m.message_id, m.role, m.content, m.parts, m.model, m.status, m.parent_id, m.created_at,
                m.metadata, m.error, m.client_message_id
            FROM chat.messages m
            WHERE m.user_id = $1 AND m.session_id = $2 AND m.message_id IN (SELECT path.message_id FROM path)
            """,
            user_id,
            session_id,
            list(leaves),
            steps,
        )
    return [HistoryMessage(**row) for row in map(dict, rows)]


def message_of(row: asyncpg.Record) -> HistoryMessage | None:
    """Make the message of a row of `stored_messages`; None where it only tells of its session."""
    fields = dict(row)
    del fields["user_id"], fields["deleted"]
    return HistoryMessage(**fields) if fields["message_id"] is not None else None

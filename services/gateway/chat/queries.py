"""Read chat.messages for the next turn: what was said last, and what led to a message of long ago."""

from collections.abc import Iterable, Sequence

import asyncpg

from services.gateway.turns.said import Said
from services.gateway.turns.turn import Question
from shared.database import Pool, reading


async def stored_messages(
    pool: Pool,
    user_ids: Sequence[str],
    session_id: str,
    about: Sequence[str],
    *,
    resent: int,
    newest: int,
    most_bytes: int,
) -> list[asyncpg.Record]:
    """Return the newest messages of each user's session of this id, those asked about, and the first that users said.

    A session without messages is a row too: it may be deleted. Of the newest, and of those asked about, the texts come
    as far back as they are `most_bytes` together; those asked about, and the first, come with a digest of theirs.
    """
    async with reading(pool, *user_ids) as db:
        return await db.fetch(
            """
            SELECT s.user_id, s.deleted_at IS NOT NULL AS deleted, m.message_id, m.role, m.parent_id, m.created_at,
                m.client_message_id, m.content, m.digest, m.is_clients
            FROM chat.sessions s
            LEFT JOIN LATERAL (
                SELECT message_id, role, parent_id, created_at, client_message_id, NULL::bytea AS digest,
                    CASE WHEN sum(octet_length(content)) OVER newer <= $6 THEN content END AS content,
                    turn_id IS NULL AS is_clients
                FROM (SELECT message_id, role, parent_id, created_at, client_message_id, content, turn_id
                    FROM chat.messages n
                    WHERE n.user_id = s.user_id AND n.session_id = s.session_id
                    ORDER BY n.created_at DESC, n.message_id DESC LIMIT $3) last
                WINDOW newer AS (ORDER BY created_at DESC, message_id DESC ROWS UNBOUNDED PRECEDING)
                UNION ALL
                SELECT message_id, role, parent_id, created_at, client_message_id,
                    sha256(convert_to(content, 'UTF8')),
                    CASE WHEN sum(octet_length(content)) OVER newer <= $6 THEN content END, turn_id IS NULL
                FROM (SELECT * FROM chat.messages a
                    WHERE a.user_id = s.user_id AND a.session_id = s.session_id AND a.message_id = ANY ($4)
                    UNION ALL
                    SELECT * FROM chat.messages e
                    WHERE e.user_id = s.user_id AND e.session_id = s.session_id AND e.client_message_id = ANY ($4)
                    ) named
                WINDOW newer AS (ORDER BY created_at DESC, message_id DESC ROWS UNBOUNDED PRECEDING)
                UNION ALL
                (SELECT message_id, role, parent_id, created_at, client_message_id,
                    sha256(convert_to(content, 'UTF8')), NULL, turn_id IS NULL
                FROM chat.messages f
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
            most_bytes,
        )


async def branches(
    pool: Pool, user_id: str, session_id: str, leaves: Iterable[str], *, steps: int, most_bytes: int
) -> list[Said]:
    """Return these messages, and of those that led to each the nearest, with texts as `stored_messages` has them."""
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
    """Make messages of the rows of `stored_messages`; of several of one message there is what any of them has."""
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

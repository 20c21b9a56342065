"""Read chat.messages: which messages one session has, and what those on a page say."""

from collections.abc import Sequence
from typing import NamedTuple

from services.gateway.http.requests.cursors import Place
from services.gateway.sessions.answers import Feedback
from services.gateway.sessions.messages.ends import ReadEnd, read_ends
from services.gateway.sessions.messages.pages import PAGE_BYTES, Listed, Window
from services.gateway.turns.past.history import HistoryMessage
from services.gateway.turns.past.kept import Kept, kept_in
from shared.database import Pool, reading

_SHOWN = """message_id, role, content, parts, model, status, parent_id, created_at, metadata, error,
    client_message_id"""

# In the session's order between the page's times, for which there is an index: by ids alone, or without an order, the
# planner may read a long session whole to find a few.
IN_ORDER = "SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off"
SAID = f"""
    SELECT {_SHOWN} FROM chat.messages
    WHERE user_id = $1 AND session_id = $2 AND created_at BETWEEN $3 AND $4 AND message_id = ANY ($5)
    ORDER BY created_at DESC, message_id DESC
"""  # noqa: S608 - a constant of this module


class StoredEnd(NamedTuple):
    """The end of a session that is stored."""

    is_deleted: bool
    newest: Place | None  # of its newest message that can be replied to
    kept: Kept


class MessageQueries:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def listed(self, user_id: str, session_id: str, window: Window, limit: int) -> list[Listed]:
        """Return up to `limit` messages of the window, from the end that its page is read from, without what they say.

        How long a text is the table knows without unpacking it. The rest of a message is measured only as far back as
        the texts alone fill a page.
        """
        read = _OLDEST_FIRST if window.oldest_first else _NEWEST_FIRST
        after, before = window.after or (None, None), window.before or (None, None)
        async with reading(self._pool, user_id) as db:
            rows = await db.fetch(read, user_id, session_id, *after, *before, limit, PAGE_BYTES)
        return [Listed(row["message_id"], row["created_at"], row["size"]) for row in rows]

    async def whole(self, user_id: str, session_id: str, message_ids: Sequence[str]) -> list[HistoryMessage]:
        """Return these messages, in any order."""
        async with reading(self._pool, user_id) as db:
            rows = await db.fetch(
                f"""
                SELECT {_SHOWN} FROM chat.messages WHERE user_id = $1 AND session_id = $2 AND message_id = ANY ($3)
                """,  # noqa: S608 - a constant of this module
                user_id,
                session_id,
                list(message_ids),
            )
        return [HistoryMessage(**row) for row in map(dict, rows)]

    async def said(self, user_id: str, session_id: str, page: Sequence[Listed]) -> list[HistoryMessage]:
        """Return the stored ones of these messages, in any order."""
        times = [listed.created_at for listed in page]
        async with reading(self._pool, user_id, first=IN_ORDER) as db:
            ids = [listed.message_id for listed in page]
            rows = await db.fetch(SAID, user_id, session_id, min(times), max(times), ids)
        return [HistoryMessage(**row) for row in map(dict, rows)]

    async def missing(self, user_id: str, session_id: str, message_ids: Sequence[str]) -> list[str]:
        """Return those of these messages that are not stored."""
        async with reading(self._pool, user_id) as db:
            rows = await db.fetch(
                """
                SELECT wanted FROM unnest($3::text[]) AS wanted
                WHERE NOT EXISTS (SELECT FROM chat.messages m
                    WHERE m.user_id = $1 AND m.session_id = $2 AND m.message_id = wanted)
                """,
                user_id,
                session_id,
                list(message_ids),
            )
        return [row["wanted"] for row in rows]

    async def feedback(self, user_id: str, session_id: str, message_ids: Sequence[str]) -> dict[str, Feedback]:
        """Return what was said of these messages, stored or not."""
        async with reading(self._pool, user_id) as db:
            rows = await db.fetch(
                """
                SELECT message_id, value, comment, occurred_at AS created_at FROM chat.feedback
                WHERE user_id = $1 AND session_id = $2 AND message_id = ANY ($3)
                """,
                user_id,
                session_id,
                list(message_ids),
            )
        return {row["message_id"]: Feedback.model_validate(dict(row)) for row in rows}

    async def named(self, user_id: str, session_id: str, names: Sequence[str]) -> list[HistoryMessage]:
        """Return these messages, by our ids or the client's, in any order."""
        async with reading(self._pool, user_id) as db:
            rows = await db.fetch(
                f"""
                SELECT {_SHOWN} FROM chat.messages
                WHERE user_id = $1 AND session_id = $2 AND message_id = ANY ($3)
                UNION ALL
                SELECT {_SHOWN} FROM chat.messages
                WHERE user_id = $1 AND session_id = $2 AND client_message_id = ANY ($3)
                """,  # noqa: S608 - a constant of this module
                user_id,
                session_id,
                list(names),
            )
        return [HistoryMessage(**row) for row in map(dict, rows)]

    async def ends(self, user_ids: Sequence[str], session_id: str) -> dict[str, StoredEnd]:
        """Return the end of the session of this id of each of these users who has one that is stored."""
        async with reading(self._pool, *user_ids) as db:
            rows = await db.fetch(
                """
                SELECT owner.user_id, s.project_id, s.helper, s.model,
                    s.deleted_at IS NOT NULL OR d.user_id IS NOT NULL AS is_deleted,
                    newest.message_id, newest.created_at
                FROM unnest($1::text[]) AS owner (user_id)
                LEFT JOIN chat.sessions s ON (s.user_id, s.session_id) = (owner.user_id, $2)
                LEFT JOIN gateway.deletions d ON (d.user_id, d.session_id) = (owner.user_id, $2)
                LEFT JOIN LATERAL (
                    SELECT m.message_id, m.created_at FROM chat.messages m
                    WHERE m.user_id = s.user_id AND m.session_id = s.session_id
                        AND (m.parent_id IS NOT NULL OR m.role NOT IN ('system', 'tool'))
                    ORDER BY m.created_at DESC, m.message_id DESC LIMIT 1) newest ON true
                WHERE s.user_id IS NOT NULL OR d.user_id IS NOT NULL
                """,
                list(user_ids),
                session_id,
            )
        return {
            row["user_id"]: StoredEnd(
                row["is_deleted"],
                (row["created_at"], row["message_id"]) if row["message_id"] else None,
                kept_in(row),
            )
            for row in rows
        }

    async def read_ends(self, user_ids: Sequence[str], session_id: str, names: Sequence[str]) -> dict[str, ReadEnd]:
        """Return the end of the session of this id of each of these users, with what is not stored of it."""
        return await read_ends(self._pool, user_ids, session_id, names)

    async def place_of(self, user_id: str, session_id: str, message_id: str) -> Place | None:
        """Find a stored message's place in its session."""
        async with reading(self._pool, user_id) as db:
            created_at = await db.fetchval(
                """
                SELECT created_at FROM chat.messages
                WHERE user_id = $1 AND session_id = $2 AND message_id = $3
                """,
                user_id,
                session_id,
                message_id,
            )
        return None if created_at is None else (created_at, message_id)


# A literal for each direction, since an ORDER BY can't be an argument; `messages_in_order` serves both.
_WINDOW = """
    SELECT message_id, created_at, octet_length(content) + CASE WHEN nearer <= $8
        THEN octet_length(parts::text) + octet_length(metadata::text) ELSE 0 END AS size
    FROM (
        SELECT message_id, created_at, content, parts, metadata,
            sum(octet_length(content)) OVER (ORDER BY {order} ROWS UNBOUNDED PRECEDING) AS nearer
        FROM (
            SELECT message_id, created_at, content, parts, metadata FROM chat.messages
            WHERE user_id = $1 AND session_id = $2
                AND (created_at, message_id) > (coalesce($3::timestamptz, '-infinity'), coalesce($4::text, ''))
                AND (created_at, message_id) < (coalesce($5::timestamptz, 'infinity'), coalesce($6::text, ''))
            ORDER BY {order} LIMIT $7
        ) page
    ) measured
"""
_NEWEST_FIRST = _WINDOW.format(order="created_at DESC, message_id DESC")
_OLDEST_FIRST = _WINDOW.format(order="created_at, message_id")

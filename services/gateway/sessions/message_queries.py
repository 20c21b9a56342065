"""Read chat.messages: the messages of one session, page by page."""

from dataclasses import dataclass

from services.gateway.http.cursors import Place
from services.gateway.turns.history import HistoryMessage
from shared.database import Pool, reading


@dataclass(frozen=True)
class Window:
    """The messages between two places, and from which end of it a page is read."""

    after: Place | None = None
    before: Place | None = None
    oldest_first: bool = False  # the page begins at `after`; else it ends at `before`

    def holds(self, place: Place) -> bool:
        return (self.after is None or self.after < place) and (self.before is None or place < self.before)


class MessageQueries:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(self, user_id: str, session_id: str, window: Window, limit: int) -> list[HistoryMessage]:
        """Return up to `limit` messages of the window, from the end that its page is read from."""
        read = _OLDEST_FIRST if window.oldest_first else _NEWEST_FIRST
        after, before = window.after or (None, None), window.before or (None, None)
        async with reading(self._pool, user_id) as db:
            rows = await db.fetch(read, user_id, session_id, *after, *before, limit)
        return [HistoryMessage(**row) for row in map(dict, rows)]

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
    SELECT message_id, role, content, parts, model, status, parent_id, created_at, metadata, error, client_message_id
    FROM chat.messages
    WHERE user_id = $1 AND session_id = $2
        AND (created_at, message_id) > (coalesce($3::timestamptz, '-infinity'), coalesce($4::text, ''))
        AND (created_at, message_id) < (coalesce($5::timestamptz, 'infinity'), coalesce($6::text, ''))
"""
_NEWEST_FIRST = _WINDOW + "ORDER BY created_at DESC, message_id DESC LIMIT $7"
_OLDEST_FIRST = _WINDOW + "ORDER BY created_at, message_id LIMIT $7"

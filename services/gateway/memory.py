"""What the next turn of a session knows: its newest messages, stored or not, and whose session it is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from services.gateway.history import Shown, branch, merge_history, missing_parents, newest
from services.gateway.store import Store
from services.gateway.turn import Turn
from shared.database import Pool, reading
from shared.errors import NotFound

REMEMBERED = 200  # stored messages of a session, the newest


@dataclass(frozen=True)
class Remembered:
    user_id: str
    history: list[Shown]
    known_until: datetime | None = None  # the place of the newest turn that is in it
    turns: Sequence[Turn] = ()  # those of its newest turns that are kept


class Memory:
    """Reads a session's past through the select-only role."""

    def __init__(self, reader_pool: Pool, store: Store) -> None:
        self._pool = reader_pool
        self._store = store

    async def of(
        self, user_ids: Sequence[str], session_id: str, about: Sequence[str] = (), resent: int = 0
    ) -> Remembered:
        """Return the past of the session that the first of these users has; an unknown one is new, and the first's.

        Args:
            user_ids: Who asks, the owner of what is new first.
            session_id: Which session.
            about: Messages, by our ids or the client's, that are wanted however long ago they were said, with all that
                led to them.
            resent: How many of the session's first user messages are wanted, for a client that sends all of them again.

        Raises:
            NotFound: It was deleted.
        """
        turns = await self._store.session(user_ids, session_id)  # before the stored ones: see history.py
        rows = await self._stored(user_ids, session_id, about, resent)
        owners = {row["user_id"] for row in rows} | {turn.user_id for turn in turns}
        owner = next((user_id for user_id in user_ids if user_id in owners), user_ids[0])
        own_rows = [row for row in rows if row["user_id"] == owner]
        if any(row["deleted"] for row in own_rows):
            raise NotFound("This session was deleted.")
        own_turns = [turn for turn in turns if turn.user_id == owner]
        stored = [_shown(row) for row in own_rows if row["message_id"] is not None]
        history = merge_history(stored, own_turns)
        if missing := missing_parents(history, [*about, *_cut_off(history)]):
            history = merge_history([*stored, *await self._branches(owner, session_id, missing)], own_turns)
        known_until = max((turn.place for turn in own_turns), default=None)
        return Remembered(owner, history, known_until, own_turns)

    async def _stored(
        self, user_ids: Sequence[str], session_id: str, about: Sequence[str], resent: int
    ) -> list[asyncpg.Record]:
        async with reading(self._pool, *user_ids) as db:
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
                REMEMBERED,
                list(about),
                resent,
            )

    async def _branches(self, user_id: str, session_id: str, leaves: Iterable[str]) -> list[Shown]:
        """Return these messages, and of those that led to each the nearest."""
        async with reading(self._pool, user_id) as db:
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
                REMEMBERED,
            )
        return [Shown(**row) for row in map(dict, rows)]


def _cut_off(history: Sequence[Shown]) -> list[str]:
    """Name the newest message where little is known of what led to it, as of a question of long ago asked again."""
    leaf = newest(history)
    return [leaf] if leaf is not None and len(branch(history, leaf)) < REMEMBERED // 2 else []


def _shown(row: asyncpg.Record) -> Shown:
    fields = dict(row)
    del fields["user_id"], fields["deleted"]
    return Shown(**fields)

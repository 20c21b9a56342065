"""What the next turn of a session knows: its newest messages, stored or not, and whose session it is."""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from services.gateway.history import Shown, merge_history
from services.gateway.store import Store
from shared.database import Pool, reading
from shared.errors import NotFound

REMEMBERED = 200  # stored messages of a session, the newest


@dataclass(frozen=True)
class Remembered:
    user_id: str
    history: list[Shown]


class Memory:
    """Reads a session's past through the select-only role."""

    def __init__(self, reader_pool: Pool, store: Store) -> None:
        self._pool = reader_pool
        self._store = store

    async def of(self, user_ids: Sequence[str], session_id: str) -> Remembered:
        """Return the past of the session that one of these users owns; an unknown one is new, and the first one's.

        Raises:
            NotFound: It was deleted.
        """
        turns = await self._store.session(user_ids, session_id)  # before the stored ones: see history.py
        rows = await self._stored(user_ids, session_id)
        if any(row["deleted"] for row in rows):
            raise NotFound("this session was deleted")
        owners = [row["user_id"] for row in rows] + [turn.user_id for turn in turns]
        owner = owners[0] if owners else user_ids[0]
        stored = [_shown(row) for row in rows if row["user_id"] == owner and row["message_id"] is not None]
        return Remembered(owner, merge_history(stored, [turn for turn in turns if turn.user_id == owner]))

    async def _stored(self, user_ids: Sequence[str], session_id: str) -> list[asyncpg.Record]:
        async with reading(self._pool, *user_ids) as db:
            return await db.fetch(
                """
                SELECT s.user_id, s.deleted_at IS NOT NULL AS deleted, m.message_id, m.role, m.content, m.parts,
                       m.model, m.status, m.parent_id, m.created_at, m.metadata, m.error, m.client_message_id
                FROM chat.sessions s
                LEFT JOIN LATERAL (
                    SELECT * FROM chat.messages m
                    WHERE m.user_id = s.user_id AND m.session_id = s.session_id
                    ORDER BY m.created_at DESC, m.message_id DESC LIMIT $3
                ) m ON true
                WHERE s.user_id = ANY ($1) AND s.session_id = $2
                """,
                list(user_ids),
                session_id,
                REMEMBERED,
            )


def _shown(row: asyncpg.Record) -> Shown:
    fields = dict(row)
    del fields["user_id"], fields["deleted"]
    return Shown(**fields)

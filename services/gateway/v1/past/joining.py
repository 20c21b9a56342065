"""Find the session that a history without one continues: the newest whose last answer is where that history ends.

What this gateway knows is looked at first, then the turns, so that it is found while the logger or the broker is away.
"""

from dataclasses import dataclass
from datetime import datetime

from services.gateway.turns.here.recent import RecentSessions
from shared.database import Pool, fetched, reading
from shared.ids import answer_id

MOST = 5  # sessions that end alike, as evaluations make them


@dataclass(frozen=True)
class Joined:
    """A session that goes on."""

    session_id: str
    last_id: str  # the answer that the history ends with
    known_until: datetime | None  # the place of its newest turn


class Joining:
    def __init__(self, recent: RecentSessions, own_pool: Pool, reader_pool: Pool) -> None:
        self._recent = recent
        self._own = own_pool
        self._reader = reader_pool

    async def session(self, user_id: str, conversation: str) -> Joined | None:
        """Return the session of this user that ends so; of one in which more was said, or is being said, none."""
        return (
            self._of_recent(user_id, conversation)
            or await self._of_turns(user_id, conversation)
            or await self._stored(user_id, conversation)
        )

    def _of_recent(self, user_id: str, conversation: str) -> Joined | None:
        """Look among what this gateway knows, which the claim will prove."""
        known = self._recent.ending_with(user_id, conversation)
        if known is None:
            return None
        session_id, recent = known
        return Joined(session_id, recent.history[-1].message_id, recent.known_until)

    async def _of_turns(self, user_id: str, conversation: str) -> Joined | None:
        rows = await fetched(
            self._own,
            """
            SELECT t.session_id, t.turn_id, t.attempt, (SELECT max(n.place) FROM gateway.turns n
                WHERE n.user_id = t.user_id AND n.session_id = t.session_id) AS known_until
            FROM gateway.turns t
            WHERE t.user_id = $1 AND t.answer ->> 'history' = $2 AND t.state <> 'running'
                AND NOT tripthread.is_hidden(t.user_id, t.session_id, t.asked_at)
                AND NOT EXISTS (SELECT FROM gateway.turns n
                    WHERE n.user_id = t.user_id AND n.session_id = t.session_id AND n.place > t.place
                        AND n.state <> 'failed')
            ORDER BY t.place DESC LIMIT 1
            """,
            user_id,
            conversation,
        )
        for row in rows:
            last_id = str(answer_id(row["turn_id"], row["attempt"]))
            return Joined(row["session_id"], last_id, row["known_until"])
        return None

    async def _stored(self, user_id: str, conversation: str) -> Joined | None:
        """Look among what is stored, of which more may be said by turns that are not."""
        async with reading(self._reader, user_id) as db:
            stored = await db.fetch(
                """
                SELECT m.session_id, m.message_id, m.created_at FROM chat.messages m
                WHERE m.user_id = $1 AND m.conversation = $2
                    AND NOT EXISTS (SELECT FROM chat.messages n
                        WHERE n.user_id = m.user_id AND n.session_id = m.session_id AND n.created_at > m.created_at
                            AND CASE n.role WHEN 'assistant' THEN n.status <> 'failed'
                                WHEN 'user' THEN n.turn_id IS NULL END)
                ORDER BY m.created_at DESC LIMIT $3
                """,
                user_id,
                conversation,
                MOST,
            )
        if not stored:
            return None
        rows = await fetched(
            self._own,
            """
            SELECT ended.session_id, ended.message_id, (SELECT max(n.place) FROM gateway.turns n
                WHERE n.user_id = $1 AND n.session_id = ended.session_id) AS known_until
            FROM unnest($2::text[], $3::text[], $4::timestamptz[]) AS ended (session_id, message_id, at)
            WHERE NOT EXISTS (SELECT FROM gateway.turns n
                WHERE n.user_id = $1 AND n.session_id = ended.session_id AND n.place > ended.at AND n.state <> 'failed')
            ORDER BY ended.at DESC LIMIT 1
            """,
            user_id,
            [row["session_id"] for row in stored],
            [row["message_id"] for row in stored],
            [row["created_at"] for row in stored],
        )
        return next((Joined(row["session_id"], row["message_id"], row["known_until"]) for row in rows), None)

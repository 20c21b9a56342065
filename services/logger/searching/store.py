"""All SQL of the search index.

A message's words stand and fall with the message, by their foreign key; a title's are written while its session is
locked, so that nobody can take the title away meanwhile and leave its words behind.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from services.logger.rows.spelled import as_json
from shared.database import Pool
from shared.events import Json
from shared.search_words import MOST_CHARACTERS, vector_of

STEP_BACK = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Text:
    """A message, or without an id of one a title, as the index does not have it."""

    user_id: str
    session_id: str
    message_id: str | None
    version: UUID
    since: datetime
    text: str | None  # none: the title is gone


class SearchStore:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def begin_at(self) -> datetime | None:
        """Return where to begin; None where nothing was ever written.

        That is a little before the last note, since a server may have taken over whose clock is late.
        """
        began: datetime | None = await self._pool.fetchval(
            """
            SELECT coalesce((SELECT looked_until - $1::interval FROM chat.search_progress), least(
                (SELECT min(stored_at) FROM chat.messages),
                (SELECT min(updated_at) FROM chat.sessions WHERE updated_at > '-infinity')
            ) - interval '1 microsecond')
            """,
            STEP_BACK,
        )
        return began

    async def written_until(self) -> datetime:
        """Return a moment before which nothing will be written any more: every transaction from before it has ended.

        The clock is read first. Whoever is not seen at work then stamps what they write with a later time.
        """
        until: datetime = await self._pool.fetchval(
            """
            SELECT least(statement_timestamp(), (SELECT min(writing.xact_start) FROM pg_stat_activity AS writing
                WHERE writing.usename = current_user AND writing.pid <> pg_backend_pid()))
            """
        )
        return until

    async def note(self, until: datetime) -> None:
        """Note that nothing is to be looked at any more that was written until then."""
        await self._pool.execute(
            """
            INSERT INTO chat.search_progress AS old VALUES ($1)
            ON CONFLICT ((true)) DO UPDATE SET looked_until = excluded.looked_until
            """,
            until,
        )

    async def unindexed(self, since: datetime, until: datetime, most: int) -> list[Text]:
        """Return texts that were written in this time and that the index has not, or has another version of."""
        # OFFSET 0: each by its key, and never by a scan of the whole index to compare with.
        rows = await self._pool.fetch(
            f"""
            (SELECT m.user_id, m.session_id, m.message_id, m.event_id AS version, m.created_at AS since,
                left(m.content, {MOST_CHARACTERS}) AS text
            FROM chat.messages m
            WHERE m.stored_at > $1 AND m.stored_at <= $2 AND m.event_id IS DISTINCT FROM (
                SELECT x.version FROM chat.search x
                WHERE x.user_id = m.user_id AND x.session_id = m.session_id AND x.message_id = m.message_id OFFSET 0)
            LIMIT $3)
            UNION ALL
            (SELECT s.user_id, s.session_id, NULL, coalesce(md5(s.title), md5(''))::uuid, s.created_at, s.title
            FROM chat.sessions s
            WHERE s.updated_at > $1 AND s.updated_at <= $2 AND md5(s.title)::uuid IS DISTINCT FROM (
                SELECT x.version FROM chat.search x
                WHERE x.user_id = s.user_id AND x.session_id = s.session_id AND x.message_id IS NULL OFFSET 0)
            LIMIT $3)
            """,  # noqa: S608 - a constant
            since,
            until,
            most,
        )
        return [Text(**row) for row in rows]

    async def index_messages(self, texts: Sequence[Text]) -> None:
        """Index those of these messages that are still there."""
        await self._pool.execute(
            """
            INSERT INTO chat.search AS old (user_id, session_id, message_id, version, since, terms)
            SELECT m.user_id, m.session_id, m.message_id, new.version, new.since, new.terms::tsvector
            FROM json_to_recordset($1) AS new (user_id text, session_id text, message_id text, version uuid,
                since timestamptz, terms text)
            JOIN chat.messages m ON m.user_id = new.user_id AND m.session_id = new.session_id
                AND m.message_id = new.message_id
            ORDER BY m.user_id, m.session_id, m.message_id
            FOR KEY SHARE OF m
            ON CONFLICT (user_id, session_id, message_id) DO UPDATE SET
                version = excluded.version, since = excluded.since, terms = excluded.terms
            """,
            as_json(map(_row, texts)),
        )

    async def index_titles(self, texts: Sequence[Text]) -> None:
        """Index those of these titles that still stand, and let go those that stand no more."""
        rows = as_json(map(_row, texts))
        await self._pool.execute(
            """
            INSERT INTO chat.search AS old (user_id, session_id, version, since, terms)
            SELECT s.user_id, s.session_id, new.version, new.since, new.terms::tsvector
            FROM json_to_recordset($1) AS new (user_id text, session_id text, version uuid,
                since timestamptz, terms text)
            JOIN chat.sessions s ON s.user_id = new.user_id AND s.session_id = new.session_id
            WHERE md5(s.title)::uuid = new.version
            ORDER BY s.user_id, s.session_id
            FOR SHARE OF s
            ON CONFLICT (user_id, session_id, message_id) DO UPDATE SET
                version = excluded.version, since = excluded.since, terms = excluded.terms
            """,
            rows,
        )
        if any(text.text is None for text in texts):
            await self._pool.execute(
                """
                DELETE FROM chat.search x
                USING json_to_recordset($1) AS gone (user_id text, session_id text)
                WHERE x.user_id = gone.user_id AND x.session_id = gone.session_id AND x.message_id IS NULL
                    AND NOT EXISTS (SELECT FROM chat.sessions s
                        WHERE s.user_id = gone.user_id AND s.session_id = gone.session_id AND s.title IS NOT NULL)
                """,
                rows,
            )


def _row(text: Text) -> Json:
    return {
        "user_id": text.user_id,
        "session_id": text.session_id,
        "message_id": text.message_id,
        "version": str(text.version),
        "since": text.since,
        "terms": vector_of(text.user_id, text.text or ""),
    }

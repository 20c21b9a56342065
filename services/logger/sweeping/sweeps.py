"""What is to go for good, in portions: of a deleted session all but its tombstone, of an erased user what is older.

A portion is one statement and one commit, so nobody waits long for it, and a process that ends in between leaves the
rest to the next. Nothing of it begins before every transaction is over that may not have seen the note: what those have
written is seen then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.logger.dead_letters.owners import Gone, spellings
from services.logger.store import LEDGER
from services.logger.sweeping.anew import begin_anew
from shared.database import Pool, transaction
from shared.jobs.ledger import Erasure, next_erasure, settle_erasure
from shared.sweeping import NOTED, PORTION, delete_in_portions, find_notes, repeat

LETTERS_AT_ONCE = 1000
LETTER_BYTES_AT_ONCE = 8_000_000

# A portion of letters that is looked through, however few are found: each row has its last id.
_LETTERS = """
    WITH next AS (
        SELECT dead_letter_id, octet_length(body) AS bytes FROM chat.dead_letters
        WHERE {whose} AND dead_letter_id > $2 ORDER BY dead_letter_id LIMIT $5
    ), sized AS (
        SELECT dead_letter_id, sum(bytes) OVER (ORDER BY dead_letter_id) - bytes AS before FROM next
    ), portion AS MATERIALIZED (
        SELECT dead_letter_id FROM sized WHERE before < $6
    ), found AS (
        SELECT dead_letter_id, user_id, received_at, body FROM portion JOIN chat.dead_letters USING (dead_letter_id)
        WHERE (cardinality($3::bytea[]) = 0 OR EXISTS (SELECT FROM unnest($3) AS said WHERE position(said IN body) > 0))
            AND (cardinality($4::bytea[]) = 0
                OR EXISTS (SELECT FROM unnest($4) AS said WHERE position(said IN body) > 0))
    )
    SELECT looked.last, found.*
    FROM (SELECT dead_letter_id AS last FROM portion ORDER BY dead_letter_id DESC LIMIT 1) AS looked
    LEFT JOIN found ON true
    """


@dataclass(frozen=True)
class DeletedSession:
    user_id: str
    session_id: str


class SweepStore:
    """All SQL of the sweeps."""

    def __init__(self, pool: Pool, portion: int = PORTION) -> None:
        self._pool = pool
        self._portion = portion

    async def next_session(self) -> DeletedSession | None:
        """Return the session that was deleted first of those that are still to be swept."""
        await find_notes(self._pool, "chat.sessions", "deleted_at IS NOT NULL AND swept_at IS NULL", self._portion)
        row = await self._pool.fetchrow(
            f"""
            SELECT user_id, session_id FROM chat.sessions
            WHERE deleted_at IS NOT NULL AND swept_at IS NULL AND {NOTED}
            ORDER BY noted_at LIMIT 1
            """  # noqa: S608 - a constant
        )
        return DeletedSession(**row) if row else None

    async def sweep_session(self, session: DeletedSession) -> None:
        """Let a session's rows and letters go, and note that they are gone."""
        for table in ("search", "messages", "traces", "feedback"):
            await self._delete(
                f"chat.{table} WHERE user_id = $1 AND session_id = $2", session.user_id, session.session_id
            )
        await self.sweep_letters(Gone(session.user_id, session.session_id))
        await self._pool.execute(
            "UPDATE chat.sessions SET swept_at = clock_timestamp()"
            " WHERE user_id = $1 AND session_id = $2 AND deleted_at IS NOT NULL",
            session.user_id,
            session.session_id,
        )

    async def next_user(self) -> Erasure | None:
        """Return the user who was erased first of those of whom something may be left."""
        return await next_erasure(self._pool, LEDGER)

    async def sweep_user(self, user: Erasure) -> None:
        """Let everything of a user go that is older than their erasure, and note that it is gone."""
        after = ""
        while sessions := await self._older_sessions(user, after):
            for session_id in sessions:
                await self._sweep_older(user, session_id)
            after = sessions[-1]
        for older in (
            "chat.traces WHERE user_id = $1 AND coalesce(accepted_at, started_at) <= $2",
            "chat.feedback WHERE user_id = $1 AND occurred_at <= $2",
            "chat.templates WHERE user_id = $1 AND occurred_at <= $2",
        ):
            await self._delete(older, user.user_id, user.erased_at)
        await self._forget_who_was_read(user)
        await self.sweep_letters(Gone(user.user_id, erased_at=user.erased_at))
        await settle_erasure(self._pool, LEDGER, user)

    async def _older_sessions(self, user: Erasure, after: str) -> list[str]:
        rows = await self._pool.fetch(
            """
            SELECT session_id FROM chat.sessions
            WHERE user_id = $1 AND created_at <= $2 AND session_id > $3 ORDER BY session_id LIMIT 100
            """,
            user.user_id,
            user.erased_at,
            after,
        )
        return [row["session_id"] for row in rows]

    async def _sweep_older(self, user: Erasure, session_id: str) -> None:
        """Let go what is older in one session, and the session itself where nothing else is in it."""
        # Answers to older questions first: once those are gone, nobody could tell.
        await self._delete(
            """
            chat.messages WHERE user_id = $1 AND session_id = $3 AND created_at > $2 AND turn_id IS NOT NULL
                AND parent_id IN (SELECT q.message_id FROM chat.messages q
                    WHERE q.user_id = $1 AND q.session_id = $3 AND q.created_at <= $2)
            """,
            user.user_id,
            user.erased_at,
            session_id,
        )
        await self._delete(
            "chat.messages WHERE user_id = $1 AND session_id = $3 AND created_at <= $2",
            user.user_id,
            user.erased_at,
            session_id,
        )
        await self._delete(
            """
            chat.traces t WHERE user_id = $1 AND session_id = $2 AND message_id IS NOT NULL
                AND NOT EXISTS (SELECT FROM chat.messages m
                    WHERE m.user_id = $1 AND m.session_id = $2 AND m.message_id = t.message_id)
            """,
            user.user_id,
            session_id,
        )
        async with transaction(self._pool) as db:
            await begin_anew(db, user, session_id)

    async def _forget_who_was_read(self, user: Erasure) -> None:
        """Of whom an administrator has read, only the hash is kept."""
        await repeat(
            self._pool,
            """
            UPDATE chat.conversation_reads SET session_id = NULL, query = '{}',
                user_id = encode(tripthread.user_hash($1), 'hex')
            WHERE ctid = ANY (ARRAY(SELECT ctid FROM chat.conversation_reads
                WHERE user_id = $1 AND occurred_at <= $2 LIMIT $3))
            """,
            user.user_id,
            user.erased_at,
            self._portion,
        )

    async def sweep_letters(self, gone: Gone) -> None:
        """Let the dead letters go that say something of it: those that name its user, and those that can't be read."""
        of_session = spellings(gone.session_id) if gone.session_id is not None else []
        await self._sweep_letters(gone, gone.user_id, [], of_session)
        await self._sweep_letters(gone, None, spellings(gone.user_id), of_session)

    async def _sweep_letters(self, gone: Gone, named: str | None, *wanted: Sequence[bytes]) -> None:
        """Look through the letters that name this user, or nobody, portion by portion, by id.

        Only those leave the database that have one of each of what is wanted in their bodies, where anything is.
        """
        statement = _LETTERS.format(whose="user_id IS NULL AND $1::text IS NULL" if named is None else "user_id = $1")
        last = UUID(int=0)
        while rows := await self._pool.fetch(statement, named, last, *wanted, LETTERS_AT_ONCE, LETTER_BYTES_AT_ONCE):
            last = rows[0]["last"]
            going = [
                row["dead_letter_id"]
                for row in rows
                if row["dead_letter_id"] is not None and gone.has(row["user_id"], row["body"], row["received_at"])
            ]
            if going:
                await self._pool.execute("DELETE FROM chat.dead_letters WHERE dead_letter_id = ANY ($1::uuid[])", going)

    async def _delete(self, which: str, *arguments: object) -> None:
        await delete_in_portions(self._pool, which, *arguments, portion=self._portion)

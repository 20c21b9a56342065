"""The SQL of gateway.session_openings: which sessions were opened of late, and which equal creations are one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from services.gateway.account.limits.quota_store import count_session, uncount_session
from services.gateway.http.requests.fields import Json
from services.gateway.sessions.view import SessionFacts, StoredSession
from services.gateway.turns.quota import Quota
from shared.database import Connection, Pool, borrowed, fetched

EQUAL_S = 2  # for so long equal creations are one, while nothing was said in the first
KEPT = "1 day"
SWEPT = 20  # old rows that go with each new one
LISTED_OPENINGS = 100  # of one owner: so far a list looks for what is not stored yet
SHOWN = ("project_id", "helper", "model", "title", "experiment_name", "analytics", "metadata")


@dataclass(frozen=True)
class Opening:
    """A row: a session that was opened."""

    user_id: str
    session_id: str
    event_id: UUID
    accepted_at: datetime  # by the database's clock
    opening: Json  # fields of its `SessionOpened`


class SessionOpenings:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def take(
        self,
        user_id: str,
        body_hash: bytes,
        session_id: str,
        event_id: UUID,
        *,
        opening: Json,
        quota: Quota | None = None,
    ) -> Opening:
        """Open a session, or return the one that this creation is a repeat of.

        A repeat is one of the same session, or an equal one within `EQUAL_S` of the first while that is empty. Two at
        once wait for each other at the row, whichever gateways they are at.

        Raises:
            QuotaUsedUp, TooManySessions: It is new, and this quota is used up.
        """
        proposed = user_id, body_hash, session_id, event_id, opening
        async with borrowed(self._pool) as db:
            if quota is None:
                return await self._take(db, proposed)
            async with db.transaction():
                opening_taken = await self._take(db, proposed)
                is_new = opening_taken.event_id == event_id
                used_up = await count_session(db, quota, session_id) if is_new else None
                if used_up is not None:
                    raise used_up.refusal(quota)
                return opening_taken

    async def _take(self, db: Connection, proposed: tuple[str, bytes, str, UUID, Json]) -> Opening:
        row = await db.fetchrow(
            f"""
            WITH swept AS (
                DELETE FROM gateway.session_openings WHERE ctid = ANY (ARRAY(
                    SELECT ctid FROM gateway.session_openings
                    WHERE accepted_at < clock_timestamp() - interval '{KEPT}' AND (user_id, body_hash) <> ($1, $2)
                    ORDER BY accepted_at LIMIT {SWEPT} FOR UPDATE SKIP LOCKED))
            )
            INSERT INTO gateway.session_openings AS known (user_id, body_hash, session_id, event_id, accepted_at,
                opening)
            VALUES ($1, $2, $3, $4, clock_timestamp(), $5)
            ON CONFLICT (user_id, body_hash) DO UPDATE SET (session_id, event_id, accepted_at, opening) = (
                SELECT session_id, event_id, accepted_at, opening
                FROM (SELECT known.session_id = excluded.session_id OR (
                    known.accepted_at > clock_timestamp() - make_interval(secs => {EQUAL_S})
                    AND NOT EXISTS (SELECT FROM gateway.turns t
                        WHERE t.user_id = known.user_id AND t.session_id = known.session_id
                            AND t.question ->> 'role' IS DISTINCT FROM 'assistant')
                    AND NOT gateway.is_gone(known.user_id, known.session_id)) AS is_repeat) AS which
                CROSS JOIN LATERAL (
                    SELECT known.session_id, known.event_id, known.accepted_at, known.opening WHERE is_repeat
                    UNION ALL
                    SELECT excluded.session_id, excluded.event_id, clock_timestamp(), excluded.opening
                    WHERE NOT is_repeat) AS stands)
            RETURNING user_id, session_id, event_id, accepted_at, opening
            """,  # noqa: S608 - constants of this module
            *proposed,
        )
        assert row is not None  # noqa: S101 - whatever it meets, it returns a row
        return Opening(**dict(row))

    async def find(self, keys: Sequence[tuple[str, str]]) -> list[Opening]:
        """Return the first opening of each of these sessions, by owner and id, that has one."""
        rows = await fetched(
            self._pool,
            """
            SELECT DISTINCT ON (user_id, session_id) user_id, session_id, event_id, accepted_at, opening
            FROM unnest($1::text[], $2::text[]) AS wanted (user_id, session_id)
            JOIN gateway.session_openings USING (user_id, session_id)
            ORDER BY user_id, session_id, accepted_at
            """,
            [user_id for user_id, _ in keys],
            [session_id for _, session_id in keys],
        )
        return [Opening(**dict(row)) for row in rows]

    async def withdraw(self, user_id: str, event_id: UUID, quota: Quota | None = None) -> None:
        """Forget an opening that nobody was told of, and that it was counted."""
        async with borrowed(self._pool) as db, db.transaction():
            session_id = await db.fetchval(
                "DELETE FROM gateway.session_openings WHERE user_id = $1 AND event_id = $2 RETURNING session_id",
                user_id,
                event_id,
            )
            if quota is not None and session_id is not None:
                await uncount_session(db, quota, session_id)


def as_opened(facts: SessionFacts, opening: Opening) -> SessionFacts:
    """Add to what is known of a session what its opening is going to make of it, where it is not stored."""
    at = opening.accepted_at
    if facts.stored is not None or facts.deleted:
        return facts
    if facts.erased_at is not None and at <= facts.erased_at:
        return facts
    said = {name: value for name, value in opening.opening.items() if name in SHOWN}
    row = StoredSession(last_activity_at=at, created_at=at, updated_at=at, **said)
    return replace(facts, opened=replace(row, title_source="user" if row.title else "none"))

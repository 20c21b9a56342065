"""Accept deletions: a row is the promise, hides what it names at once, and is the outbox of its event."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from shared.database import Pool, fetched
from shared.events import SessionDeleted, UserErased
from shared.ids import new_id, user_hash

Key = tuple[str, str]  # owner and session id
TOLD_AT_ONCE = 100
NOBODY_TELLS_S = 3.0  # by then whoever accepted it has told of it, or there is no broker, or no such gateway any more
RETELL_S = 60.0  # and twice as long each time


@dataclass(frozen=True)
class Deletion:
    """A deleted session."""

    user_id: str
    session_id: str
    event_id: UUID
    correlation_id: UUID
    deleted_at: datetime

    @property
    def key(self) -> Key:
        return self.user_id, self.session_id

    def event(self) -> SessionDeleted:
        """Tell of it."""
        return SessionDeleted(
            event_id=self.event_id,
            correlation_id=self.correlation_id,
            occurred_at=self.deleted_at,
            user_id=self.user_id,
            session_id=self.session_id,
            accepted_at=self.deleted_at,
        )


@dataclass(frozen=True)
class Erasure:
    """A user of whom everything goes that is older."""

    user_id: str
    event_id: UUID
    correlation_id: UUID
    erased_at: datetime

    def event(self) -> UserErased:
        """Tell of it."""
        return UserErased(
            event_id=self.event_id,
            correlation_id=self.correlation_id,
            occurred_at=self.erased_at,
            user_id=self.user_id,
            erased_at=self.erased_at,
        )


async def note_erasures(
    pool: Pool, user_ids: Sequence[str], correlation_id: UUID, operator: str | None = None
) -> list[Erasure]:
    """Note that these are erased now, whoever of them was before; they are told of and swept after that."""
    rows = await fetched(
        pool,
        """
        INSERT INTO gateway.erasures AS e (user_hash, user_id, event_id, correlation_id, operator)
        SELECT hash, user_id, event_id, $4, $5
        FROM unnest($1::bytea[], $2::text[], $3::uuid[]) AS wanted (hash, user_id, event_id) ORDER BY hash
        ON CONFLICT (user_hash) DO UPDATE SET
            user_id = excluded.user_id, event_id = excluded.event_id, correlation_id = excluded.correlation_id,
            operator = excluded.operator, erased_at = clock_timestamp(),  -- by now: the row may have been waited for
            noted_by = excluded.noted_by, noted_at = excluded.noted_at,
            told_at = NULL, tellings = 0, swept_at = NULL, done_at = NULL
        RETURNING user_id, event_id, correlation_id, erased_at
        """,
        [user_hash(user_id) for user_id in user_ids],
        list(user_ids),
        [new_id() for _ in user_ids],
        correlation_id,
        operator,
    )
    return [Erasure(**row) for row in map(dict, rows)]


class DeletionStore:
    """What was accepted, and how far it was told."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def delete(self, sessions: Sequence[Key], correlation_id: UUID) -> list[Deletion]:
        """Delete these sessions, in one commit; return how each stands, also where it was deleted before."""
        rows = await fetched(
            self._pool,
            """
            INSERT INTO gateway.deletions (user_id, session_id, event_id, correlation_id)
            SELECT DISTINCT ON (user_id, session_id) user_id, session_id, event_id, $4
            FROM unnest($1::text[], $2::text[], $3::uuid[]) AS wanted (user_id, session_id, event_id)
            ORDER BY user_id, session_id
            -- Two at once wait for each other, and a row is given back to both. One that was only proposed is accepted.
            ON CONFLICT (user_id, session_id) DO UPDATE SET is_proposed = false
            RETURNING user_id, session_id, event_id, correlation_id, deleted_at
            """,
            [user_id for user_id, _ in sessions],
            [session_id for _, session_id in sessions],
            [new_id() for _ in sessions],
            correlation_id,
        )
        return [Deletion(**row) for row in map(dict, rows)]

    async def erase(self, user_ids: Sequence[str], correlation_id: UUID, operator: str | None = None) -> list[Erasure]:
        """Erase all that these users have now, also as visitors; whoever was erased before is erased up to now.

        Args:
            user_ids: Whom.
            correlation_id: Of the request.
            operator: The administrator who asks for it; none: they do themselves.
        """
        linked = await fetched(
            self._pool,
            "SELECT visitor_id FROM gateway.linked_visitors WHERE user_id = ANY ($1::text[])",
            list(user_ids),
        )
        user_ids = list(dict.fromkeys([*user_ids, *(row["visitor_id"] for row in linked)]))
        return await note_erasures(self._pool, user_ids, correlation_id, operator)

    async def untold_deletions(self) -> list[Deletion]:
        """Return deletions that nobody has told of, and those that were told long ago and are not settled."""
        rows = await fetched(
            self._pool,
            f"""
            SELECT user_id, session_id, event_id, correlation_id, deleted_at FROM gateway.deletions
            WHERE settled_at IS NULL AND NOT is_proposed AND {_IS_DUE.format(at="deleted_at")}
            ORDER BY deleted_at LIMIT {TOLD_AT_ONCE}
            """,  # noqa: S608 - constants of this module
        )
        return [Deletion(**row) for row in map(dict, rows)]

    async def untold_erasures(self) -> list[Erasure]:
        """Return the same of erasures."""
        rows = await fetched(
            self._pool,
            f"""
            SELECT user_id, event_id, correlation_id, erased_at FROM gateway.erasures
            WHERE done_at IS NULL AND {_IS_DUE.format(at="erased_at")}
            ORDER BY erased_at LIMIT {TOLD_AT_ONCE}
            """,  # noqa: S608
        )
        return [Erasure(**row) for row in map(dict, rows)]

    async def told(self, events: Sequence[SessionDeleted | UserErased]) -> None:
        """Note that the broker has these events."""
        for kind, table, undone in (
            (SessionDeleted, "deletions", "settled_at IS NULL"),
            (UserErased, "erasures", "done_at IS NULL"),
        ):
            event_ids = [event.event_id for event in events if isinstance(event, kind)]
            if event_ids:
                await self._pool.execute(
                    f"""
                    UPDATE gateway.{table} SET told_at = clock_timestamp(), tellings = tellings + 1
                    WHERE event_id = ANY ($1::uuid[]) AND {undone}
                    """,  # noqa: S608 - names of this function
                    event_ids,
                )


# A queue may have been deleted with what was in it: whoever has told of it cannot know what becomes of that.
_IS_DUE = f"""(told_at IS NULL AND {{at}} < clock_timestamp() - interval '{NOBODY_TELLS_S} seconds'
    OR told_at < clock_timestamp() - interval '{RETELL_S} seconds' * power(2, least(tellings, 10) - 1))"""

"""The SQL of sessions that are older than they are to be kept: which they are, and which of them go.

A session is as old as whatever was said or set in it last, and as what it is about: an open trip whose flight is next
month is no older than that, however long nobody has spoken; nor is a trip that is over and whose flight is to come.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from services.gateway.deletion.store import Deletion, Key
from shared.database import Pool, fetched
from shared.ids import new_id
from shared.jobs.retention import Kind
from shared.sweeping import NOTED, find_notes

AT_ONCE = 50  # sessions that are proposed: each is an event for three services, and they sweep it
LOOKED_AT = 500
# Dates are texts of ISO's form, as `route` has them.
_TRIP_IS_YOUNGER = """
    EXISTS (SELECT FROM workflow.trip_sessions o JOIN workflow.trips t USING (trip_id)
        WHERE o.user_id = s.user_id AND o.session_id = s.session_id AND o.deleted_at IS NULL
            AND (greatest(t.last_activity_at, t.created_at) >= BEFORE
                OR NOT t.canceled AND t.outcome IS DISTINCT FROM 'cancelled'
                    AND EXISTS (SELECT FROM jsonb_array_elements(t.route) AS leg
                        WHERE leg ->> 'date' >= to_char(BEFORE AT TIME ZONE 'UTC', 'YYYY-MM-DD'))))
"""
SESSIONS = Kind(
    "sessions",
    "chat.sessions s",
    "s.last_activity_at",
    since="s.updated_at",
    among="s.deleted_at IS NULL AND s.message_count >= 0",  # as the index of everybody's has it
    may_go=f"NOT {_TRIP_IS_YOUNGER}",
)
_IS_USED = """
    EXISTS (SELECT FROM gateway.turns t WHERE t.user_id = d.user_id AND t.session_id = d.session_id
        AND (t.state = 'running' OR t.stored_at IS NULL AND t.retold_at IS NULL
            OR t.place >= now() - make_interval(hours => 24 * $1::integer)))
    OR EXISTS (SELECT FROM gateway.session_openings o WHERE o.user_id = d.user_id AND o.session_id = d.session_id
        AND o.accepted_at >= now() - make_interval(hours => 24 * $1::integer))
"""


class Place(NamedTuple):
    """Where a look at sessions, from the oldest on, has come to."""

    at: datetime
    session_id: str
    user_id: str


FIRST = Place(datetime(1, 1, 1, tzinfo=UTC), "", "")


class OldSessions:
    """Which sessions are old, as administrators see the tables of the other services."""

    def __init__(self, admin: Pool) -> None:
        self._admin = admin

    async def after(self, place: Place, days: int) -> tuple[list[Key], Place]:
        """Return the next that may go, and how far that is; `FIRST` where there are no more."""
        rows = await fetched(
            self._admin,
            f"""
            SELECT s.user_id, s.session_id, s.last_activity_at, {SESSIONS.going("$1")} AS goes
            FROM chat.sessions s
            WHERE {SESSIONS.old("$1")} AND (s.last_activity_at, s.session_id, s.user_id) > ($2, $3, $4)
            ORDER BY s.last_activity_at, s.session_id, s.user_id LIMIT {LOOKED_AT}
            """,  # noqa: S608 - constants of this module, here and below
            days,
            *place,
        )
        going: list[Key] = []
        for row in rows:
            going += [(row["user_id"], row["session_id"])] * row["goes"]
            if len(going) == AT_ONCE:
                return going, Place(row["last_activity_at"], row["session_id"], row["user_id"])
        if len(rows) < LOOKED_AT:
            return going, FIRST
        return going, Place(rows[-1]["last_activity_at"], rows[-1]["session_id"], rows[-1]["user_id"])

    async def still(self, sessions: Sequence[Key], days: int) -> list[Key]:
        """Return those of these that may go now."""
        rows = await fetched(
            self._admin,
            f"""
            SELECT s.user_id, s.session_id FROM unnest($2::text[], $3::text[]) AS wanted (user_id, session_id)
            JOIN chat.sessions s USING (user_id, session_id) WHERE {SESSIONS.going("$1")}
            """,  # noqa: S608
            days,
            *_columns(sessions),
        )
        return [(row["user_id"], row["session_id"]) for row in rows]


class ProposalStore:
    """Deletions that are proposed: rows of the gateway's own schema."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def propose(self, sessions: Sequence[Key], days: int) -> None:
        """Propose to delete these, but for those that are used or are deleted already."""
        await self._pool.execute(
            f"""
            INSERT INTO gateway.deletions (user_id, session_id, event_id, correlation_id, is_proposed)
            SELECT user_id, session_id, event_id, $5, true
            FROM unnest($2::text[], $3::text[], $4::uuid[]) AS d (user_id, session_id, event_id)
            WHERE NOT ({_IS_USED}) ORDER BY user_id, session_id
            ON CONFLICT DO NOTHING
            """,  # noqa: S608
            days,
            *_columns(sessions),
            [new_id() for _ in sessions],
            new_id(),
        )

    async def ripe(self) -> list[Key]:
        """Return those of which nobody is left who claims without knowing of it."""
        await find_notes(self._pool, "gateway.deletions", "is_proposed")
        rows = await fetched(
            self._pool,
            f"""
            SELECT user_id, session_id FROM gateway.deletions WHERE is_proposed AND {NOTED}
            ORDER BY deleted_at LIMIT {AT_ONCE}
            """,  # noqa: S608
        )
        return [(row["user_id"], row["session_id"]) for row in rows]

    async def accept(self, proposed: Sequence[Key], still: Sequence[Key], days: int) -> list[Deletion]:
        """Delete those of these that are still to go and were not used.

        And those of which somebody has told: a gateway of a release that knows of no proposals, for its caller.
        """
        rows = await fetched(
            self._pool,
            f"""
            UPDATE gateway.deletions d SET is_proposed = false
            WHERE is_proposed AND (user_id, session_id) IN (SELECT * FROM unnest($2::text[], $3::text[]))
                AND (told_at IS NOT NULL OR NOT ({_IS_USED})
                    AND (user_id, session_id) IN (SELECT * FROM unnest($4::text[], $5::text[])))
            RETURNING user_id, session_id, event_id, correlation_id, deleted_at
            """,  # noqa: S608
            days,
            *_columns(proposed),
            *_columns(still),
        )
        return [Deletion(**row) for row in map(dict, rows)]

    async def are_any(self) -> bool:
        """Tell whether anything is proposed and not decided about."""
        rows = await fetched(self._pool, "SELECT EXISTS (SELECT FROM gateway.deletions WHERE is_proposed) AS are_any")
        return bool(rows[0]["are_any"])

    async def withdraw(self, sessions: Sequence[Key]) -> None:
        """Let the sessions stay of which this is not decided, as far as nobody has deleted them meanwhile."""
        await self._pool.execute(
            """
            DELETE FROM gateway.deletions WHERE is_proposed AND told_at IS NULL
                AND (user_id, session_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
            """,
            *_columns(sessions),
        )

    async def unsettled(self, most: int) -> int:
        """Return of how many deletions something is left anywhere, up to so many."""
        rows = await fetched(
            self._pool,
            "SELECT count(*) FROM (SELECT FROM gateway.deletions WHERE settled_at IS NULL LIMIT $1) AS each",
            most,
        )
        return int(rows[0][0])


def _columns(sessions: Sequence[Key]) -> tuple[list[str], list[str]]:
    return [user_id for user_id, _ in sessions], [session_id for _, session_id in sessions]

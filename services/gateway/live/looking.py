"""Make good what hints have not told: one look, every few seconds, for all who listen at this gateway."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import structlog

from services.gateway.live.changes import Place, Source
from services.gateway.live.found import OVERLAP_S, Found
from services.gateway.live.listeners import Listeners
from shared.backoff import pause
from shared.database import DATABASE_ERRORS, Pool, borrowed

MOST_FOUND = 5000  # changes that one look reads; where there are more, everybody is to fetch everything

log = structlog.get_logger(__name__)


class Looks(Protocol):
    async def changed(self, user_ids: Sequence[str], within_s: float) -> tuple[float, list[Found]]:
        """Return when it was asked, by the event loop's clock, and what has changed of these users' sessions since."""


class ChangeQueries:
    """Reads as administrators may: the role that sees some users' rows would go through all that those have."""

    def __init__(self, admin: Pool) -> None:
        self._admin = admin

    async def changed(self, user_ids: Sequence[str], within_s: float) -> tuple[float, list[Found]]:
        """Return what has changed of these users' sessions in the last so many seconds, at most `MOST_FOUND` + 1."""
        async with borrowed(self._admin) as db, db.transaction(readonly=True):
            await db.execute(PLANNED)
            asked_at = asyncio.get_running_loop().time()
            rows = await db.fetch(_CHANGED, list(user_ids), within_s, MOST_FOUND + 1)
        return asked_at, [
            Found(
                Place(row["user_id"], row["session_id"], Source(row["source"])),
                row["at"],
                row["age_s"],
                is_deleted=row["is_deleted"],
                has_proposal=row["has_proposal"],
            )
            for row in rows
        ]


class Looking:
    """The worker that looks, and that ends the streams when its process is to stop."""

    def __init__(self, looks: Looks, listeners: Listeners, *, every_s: float) -> None:
        self._looks = looks
        self._listeners = listeners
        self._every_s = every_s
        self._stopping = asyncio.Event()
        self._looked_at: float | None = None  # when the last look that succeeded was asked for

    async def run(self) -> None:
        while not self._stopping.is_set():
            await pause(self._every_s, self._stopping)
            if not self._stopping.is_set():
                await self.look()

    async def look(self) -> None:
        """Look once, and tell; where the database is away, the next look goes back further."""
        if not self._listeners.are_awaited:
            self._looked_at = None
            return
        now = asyncio.get_running_loop().time()
        since = now - self._every_s if self._looked_at is None else self._looked_at
        try:
            asked_at, found = await self._looks.changed(self._listeners.user_ids, now - since + OVERLAP_S)
        except (*DATABASE_ERRORS, TimeoutError) as error:
            self._looked_at = since
            log.debug("no look for changes", error=str(error) or type(error).__name__)
            return
        self._looked_at = now
        if len(found) > MOST_FOUND:
            self._listeners.missed()
        else:
            self._listeners.found(found, asked_at)

    def shut_down(self) -> None:
        self._listeners.close()
        self._stopping.set()

    def fault(self) -> str | None:
        """Nothing: it keeps no other request from being answered."""
        return None

    def __str__(self) -> str:
        return "looks for changes"


# A plan that was made for small tables would read a whole index of theirs, and be kept until they are analyzed.
PLANNED = "SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off"
# What has changed is few, and found by the indexes on the time stamps alone (0013_changes_since); whose it is is asked
# of these rows only, by which the cost goes by what changes and not by how many listen, or how much they have.
_CHANGED = """
    WITH listening AS MATERIALIZED (SELECT unnest($1::text[]) COLLATE "C" AS user_id),
    sessions AS MATERIALIZED (
        SELECT user_id, session_id, updated_at AS at, deleted_at IS NOT NULL AS is_deleted FROM chat.sessions
        WHERE updated_at > statement_timestamp() - $2::float8 * interval '1 second'
    ), tags AS MATERIALIZED (
        SELECT user_id, session_id, tagged_at AS at, session_tag, deleted_at FROM tagging.session_tags
        WHERE tagged_at > statement_timestamp() - $2::float8 * interval '1 second' AND reserved_at IS NULL
    ), trips AS MATERIALIZED (
        SELECT trip_id, updated_at AS at, EXISTS (SELECT FROM workflow.proposals p WHERE p.trip_id = t.trip_id
            AND p.updated_at > statement_timestamp() - $2::float8 * interval '1 second') AS has_proposal
        FROM workflow.trips t
        WHERE updated_at > statement_timestamp() - $2::float8 * interval '1 second'
    ), requests AS MATERIALIZED (
        SELECT user_id, session_id, updated_at AS at FROM workflow.requests
        WHERE updated_at > statement_timestamp() - $2::float8 * interval '1 second'
    )
    SELECT source, user_id, session_id, at, is_deleted, has_proposal,
        extract(epoch FROM statement_timestamp() - at)::float8 AS age_s
    FROM (
        SELECT 'chat' AS source, user_id, session_id, at, is_deleted, false AS has_proposal FROM sessions
        UNION ALL SELECT 'tagging', user_id, session_id, at, false, false FROM tags
        WHERE session_tag IS NOT NULL AND deleted_at IS NULL
        UNION ALL SELECT 'workflow', user_id, session_id, at, false, false FROM requests
        UNION ALL SELECT 'workflow', o.user_id, o.session_id, trips.at, false, has_proposal
        FROM trips JOIN workflow.trip_sessions o USING (trip_id) WHERE o.deleted_at IS NULL
    ) changed JOIN listening USING (user_id)
    LIMIT $3
"""

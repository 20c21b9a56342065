"""Let go what the gateway itself has of deleted sessions and erased users, in portions; all SQL of it.

Running turns are none of it: they are stopped first, by whoever runs them.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from services.gateway.account.limits.quota import KINDS, erased_name
from services.gateway.deletion.store import Erasure, Key, note_erasures
from shared.database import Pool, fetched
from shared.ids import new_id, user_hash
from shared.sweeping import NOTED, PORTION, delete_in_portions, find_notes

SESSIONS_AT_ONCE = 200
USERS_AT_ONCE = 50
# What an erased user has here: whole rows, by the time that each is of.
OLDER = (
    ("gateway.turns", "asked_at <= $2 AND state <> 'running'"),
    ("gateway.withheld_responses", "withheld_at <= $2"),
    ("gateway.shares", "created_at <= $2"),
    ("gateway.shared_with", "shared_at <= $2"),  # what others have shared with them
    ("gateway.usage", "day <= ($2::timestamptz AT TIME ZONE 'UTC')::date"),
    ("gateway.api_keys", "created_at <= $2"),
    ("gateway.browser_sessions", "created_at <= $2"),
    ("gateway.linked_visitors", "linked_at <= $2"),
    ("gateway.login_links", "coalesce(used_at, '-infinity') <= $2"),
    ("gateway.session_openings", "accepted_at <= $2"),
    ("gateway.users", "first_seen_at <= $2"),
)


class SweepStore:
    """Rows of the gateway's own schema."""

    def __init__(self, pool: Pool, portion: int = PORTION) -> None:
        self._pool = pool
        self._portion = portion

    async def unswept(self) -> dict[Key, bool]:
        """Return deleted sessions that may have turns; and of each whether nobody adds to them any more."""
        await find_notes(self._pool, "gateway.deletions", "settled_at IS NULL AND swept_at IS NULL", self._portion)
        rows = await fetched(
            self._pool,
            f"""
            SELECT user_id, session_id, {NOTED} AS is_final FROM gateway.deletions
            WHERE settled_at IS NULL AND swept_at IS NULL AND NOT is_proposed
            ORDER BY deleted_at LIMIT {SESSIONS_AT_ONCE}
            """,  # noqa: S608 - constants of this module, here and below
        )
        return {(row["user_id"], row["session_id"]): row["is_final"] for row in rows}

    async def sweep_sessions(self, sessions: Sequence[Key]) -> None:
        """Let the turns and shares of these sessions go."""
        those = "(user_id, session_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))"
        for which in (
            "gateway.turns WHERE state <> 'running'",
            "gateway.withheld_responses WHERE true",
            "gateway.session_openings WHERE true",
            "gateway.shares WHERE true",
        ):
            await self._delete(
                f"{which} AND {those}",
                [user_id for user_id, _ in sessions],
                [session_id for _, session_id in sessions],
            )

    async def swept(self, sessions: Sequence[Key]) -> None:
        """Note of which sessions nothing is left here."""
        await self._mark("swept_at", sessions)

    async def unsettled(self, after: Key) -> list[Key]:
        """Return the next deleted sessions of which something may be left elsewhere."""
        rows = await fetched(
            self._pool,
            f"""
            SELECT user_id, session_id FROM gateway.deletions
            WHERE settled_at IS NULL AND swept_at IS NOT NULL AND (user_id, session_id) > ($1, $2)
            ORDER BY user_id, session_id LIMIT {SESSIONS_AT_ONCE}
            """,  # noqa: S608
            *after,
        )
        return [(row["user_id"], row["session_id"]) for row in rows]

    async def settle(self, sessions: Sequence[Key]) -> None:
        """Note of which sessions nothing is left anywhere."""
        await self._mark("settled_at", sessions)

    async def _mark(self, column: str, sessions: Sequence[Key]) -> None:
        await self._pool.execute(
            f"""
            UPDATE gateway.deletions SET {column} = clock_timestamp()
            WHERE (user_id, session_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
            """,  # noqa: S608
            [user_id for user_id, _ in sessions],
            [session_id for _, session_id in sessions],
        )

    async def unswept_users(self) -> list[tuple[Erasure, bool]]:
        """Return erased users who may have something here; and of each whether nobody adds to it any more."""
        await find_notes(self._pool, "gateway.erasures", "done_at IS NULL AND swept_at IS NULL", self._portion)
        rows = await fetched(
            self._pool,
            f"""
            SELECT {_ERASURE}, {NOTED} AS is_final FROM gateway.erasures
            WHERE done_at IS NULL AND swept_at IS NULL ORDER BY erased_at LIMIT {USERS_AT_ONCE}
            """,  # noqa: S608
        )
        return [(_erasure(row), row["is_final"]) for row in rows]

    async def undone(self, after: bytes) -> list[Erasure]:
        """Return the next erasures, by hash, of which something may be left elsewhere."""
        rows = await fetched(
            self._pool,
            f"""
            SELECT {_ERASURE} FROM gateway.erasures
            WHERE done_at IS NULL AND swept_at IS NOT NULL AND user_hash > $1 ORDER BY user_hash LIMIT {USERS_AT_ONCE}
            """,  # noqa: S608
            after,
        )
        return [_erasure(row) for row in rows]

    async def sweep_user(self, user_id: str, erased_at: datetime) -> None:
        """Let everything go that a user had here before; of visitors whom they were, too, whoever took the erasure."""
        if missed := await self._missed(user_id, erased_at):
            await note_erasures(self._pool, missed, new_id())
        await self._keep_counting(user_id, erased_at)
        for table, older in OLDER:
            await self._delete(
                f"{table} WHERE user_id = $1 AND $2::timestamptz IS NOT NULL AND {older}", user_id, erased_at
            )
        await self._delete("gateway.linked_visitors WHERE visitor_id = $1 AND linked_at <= $2", user_id, erased_at)

    async def _keep_counting(self, user_id: str, erased_at: datetime) -> None:
        """Keep this day's counts, and an operator's word, by a name that names nobody: to erase gives no new quota."""
        kept = erased_name(user_id)
        await self._pool.execute(
            """
            WITH counted AS (
                DELETE FROM gateway.usage WHERE user_id = $1 AND day <= ($3::timestamptz AT TIME ZONE 'UTC')::date
                    AND day >= (clock_timestamp() AT TIME ZONE 'UTC')::date RETURNING *
            )
            INSERT INTO gateway.usage AS u (user_id, day, turns, input_tokens, output_tokens, sessions, refused)
            SELECT $2, day, turns, input_tokens, output_tokens, sessions, refused FROM counted
            ON CONFLICT (user_id, day) DO UPDATE SET turns = u.turns + excluded.turns,
                input_tokens = u.input_tokens + excluded.input_tokens,
                output_tokens = u.output_tokens + excluded.output_tokens,
                sessions = u.sessions + excluded.sessions, refused = u.refused + excluded.refused
            """,
            user_id,
            kept,
            erased_at,
        )
        await self._pool.execute(
            f"""
            WITH said AS (
                DELETE FROM gateway.users WHERE user_id = $1 AND first_seen_at <= $3 AND quota_set_at IS NOT NULL
                RETURNING *
            )
            INSERT INTO gateway.users (user_id, quota_set_at, {_KINDS})
            SELECT $2, clock_timestamp(), {_KINDS} FROM said
            ON CONFLICT (user_id) DO UPDATE SET (quota_set_at, {_KINDS}) = ROW(
                excluded.quota_set_at, {", ".join(f"excluded.{kind}" for kind in KINDS)})
            """,  # noqa: S608 - constants
            user_id,
            kept,
            erased_at,
        )

    async def _missed(self, user_id: str, erased_at: datetime) -> list[str]:
        """Return the visitors whom a user was at their erasure who were not erased with them, or never."""
        rows = await fetched(
            self._pool,
            """
            SELECT visitor_id FROM gateway.linked_visitors l WHERE user_id = $1 AND linked_at <= $2
                AND NOT EXISTS (SELECT FROM gateway.erasures e
                    WHERE e.user_hash = tripthread.user_hash(l.visitor_id) AND e.erased_at >= $2 - interval '1 minute')
            """,
            user_id,
            erased_at,
        )
        return [row["visitor_id"] for row in rows]

    async def swept_user(self, event_id: UUID) -> None:
        """Note that nothing is left here of what a user had at this erasure."""
        await self._pool.execute(
            "UPDATE gateway.erasures SET swept_at = clock_timestamp() WHERE event_id = $1 AND done_at IS NULL", event_id
        )

    async def done(self, erasure: Erasure) -> None:
        """Note that nothing is left anywhere, and forget who it was; tombstones go, too."""
        await self._delete(
            "gateway.deletions WHERE user_id = $1 AND deleted_at <= $2", erasure.user_id, erasure.erased_at
        )
        await self._pool.execute(
            """
            UPDATE gateway.erasures SET done_at = clock_timestamp(), user_id = NULL
            WHERE user_hash = $1 AND event_id = $2 AND done_at IS NULL
            """,
            user_hash(erasure.user_id),
            erasure.event_id,
        )

    async def _delete(self, which: str, *arguments: object) -> None:
        await delete_in_portions(self._pool, which, *arguments, portion=self._portion)


_KINDS = ", ".join(KINDS)
_ERASURE = "user_id, event_id, correlation_id, erased_at"


def _erasure(row: asyncpg.Record) -> Erasure:
    return Erasure(row["user_id"], row["event_id"], row["correlation_id"], row["erased_at"])

"""The SQL of quotas: what administrators have said of users, and what users did."""

from collections.abc import Mapping
from datetime import datetime

import asyncpg

from services.gateway.account.limits.quota import KINDS, Quota, QuotaOf, Usage, erased_name
from services.gateway.turns import quota as claimed
from services.gateway.turns.quota import UsedUp
from shared.database import Connection, Pool, borrowed, fetched

OVERLAP_S = 10  # by which what is new is asked for again: it may be committed after it was said
_COLUMNS = ", ".join(KINDS)
_TODAY = "(clock_timestamp() AT TIME ZONE 'UTC')::date"


class QuotaStore:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def said(self, since: datetime | None) -> tuple[list[QuotaOf], datetime]:
        """Return what was said of users since then, or ever, and up to when that is, by the database's clock."""
        rows = await fetched(
            self._pool,
            f"""
            SELECT now.at, user_id, quota_set_at, {_COLUMNS}
            FROM (SELECT clock_timestamp() AS at) AS now LEFT JOIN gateway.users
                ON quota_set_at > coalesce($1::timestamptz - make_interval(secs => {OVERLAP_S}), '-infinity')
            """,  # noqa: S608 - constants, here and below
            since,
        )
        found = [
            QuotaOf(row["user_id"], _quota(row), row["quota_set_at"]) for row in rows if row["user_id"] is not None
        ]
        return found, rows[0]["at"]

    async def set(self, user_id: str, changes: Mapping[str, int | None]) -> Quota:
        """Say something of a user, known or not, and return all that is said of them.

        Of who was erased it is said anew, and what was said before holds for the rest.
        """
        rows = await fetched(
            self._pool,
            f"""
            INSERT INTO gateway.users AS u (user_id, quota_set_at, {_COLUMNS})
            SELECT $1, clock_timestamp(), {", ".join(_said(name, "e") for name in KINDS)}
            FROM (SELECT) AS one LEFT JOIN gateway.users e ON e.user_id = $2
            ON CONFLICT (user_id) DO UPDATE SET
                quota_set_at = excluded.quota_set_at, {", ".join(f"{name} = {_said(name, 'u')}" for name in KINDS)}
            RETURNING {_COLUMNS}
            """,  # noqa: S608
            user_id,
            erased_name(user_id),
            list(changes),
            *(changes.get(name) for name in KINDS),
        )
        return _quota(rows[0])

    async def count_fork(self, quota: claimed.Quota, session_id: str) -> UsedUp | None:
        """Count a fork, once; return what of the quota is used up, where it is."""
        async with borrowed(self._pool) as db:
            return await count_session(db, quota, session_id, is_fork=True)

    async def uncount_fork(self, quota: claimed.Quota, session_id: str) -> None:
        """Take back that a fork was counted."""
        async with borrowed(self._pool) as db:
            await uncount_session(db, quota, session_id)

    async def add_refused(self, counts: Mapping[str, int]) -> None:
        """Count requests of users that were refused today, by user."""
        await self._pool.execute(
            f"""
            INSERT INTO gateway.usage AS u (user_id, day, refused)
            SELECT user_id, {_TODAY}, count FROM unnest($1::text[], $2::integer[]) AS each (user_id, count)
            WHERE NOT EXISTS (SELECT FROM gateway.erasures e
                WHERE e.user_hash = tripthread.user_hash(each.user_id) AND e.done_at IS NULL)
            ORDER BY user_id
            ON CONFLICT (user_id, day) DO UPDATE SET refused = least(u.refused::bigint + excluded.refused, 2147483647)
            """,  # noqa: S608
            list(counts),
            list(counts.values()),
        )

    async def today(self, user_id: str) -> Usage:
        """Return what a user has done on this day, by no other name than this."""
        async with borrowed(self._pool) as db:
            row = await db.fetchrow(
                """
                SELECT today.day, coalesce(turns, 0) AS turns, coalesce(input_tokens, 0) AS input_tokens,
                    coalesce(output_tokens, 0) AS output_tokens, coalesce(sessions, 0) AS sessions,
                    coalesce(refused, 0) AS refused
                FROM (SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date AS day) AS today
                LEFT JOIN gateway.usage u ON u.day = today.day AND u.user_id = $1
                """,
                user_id,
            )
        assert row is not None  # noqa: S101 - of one row
        return Usage(**dict(row))


def _said(name: str, row: str) -> str:
    """Take what is said of a kind, or what the row has where nothing is."""
    place, of = KINDS.index(name) + 4, "bigint" if name == "tokens_per_day" else "integer"
    return f"CASE WHEN '{name}' = ANY ($3::text[]) THEN ${place}::{of} ELSE {row}.{name} END"


def _quota(row: asyncpg.Record) -> Quota:
    return Quota(**{name: row[name] for name in KINDS})


async def count_session(
    db: Connection, quota: claimed.Quota, session_id: str, *, is_fork: bool = False
) -> UsedUp | None:
    """Count a new session that no claim begins; a fork that was counted is not counted again.

    Returns:
        What of the quota is used up, where it is: then nothing is counted.
    """
    row = await db.fetchrow(
        f"""
        SELECT gateway.count_against($1, day, 0, 1, $2, $3) AS used_up,
            (day + 1)::timestamp AT TIME ZONE 'UTC' AS next_day
        FROM (SELECT {_TODAY} AS day) AS today
        """,  # noqa: S608
        quota,
        session_id,
        is_fork,
    )
    assert row is not None  # noqa: S101 - of one row
    return UsedUp(row["used_up"], row["next_day"]) if row["used_up"] else None


async def uncount_session(db: Connection, quota: claimed.Quota, session_id: str) -> None:
    """Take back what was counted of a session of which nobody was told."""
    by = [each["by"] for each in (quota, quota.get("address")) if each]
    await db.execute(
        f"SELECT gateway.uncount($1::jsonb || jsonb_build_object('day', {_TODAY}))",
        {"by": by, "turns": 0, "sessions": 1, "fork": session_id},
    )

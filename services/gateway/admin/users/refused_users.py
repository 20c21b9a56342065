"""Read whose calls were refused today, for administrators: those of whom most were, first."""

from collections.abc import Sequence
from datetime import UTC, datetime, time

import asyncpg

from services.gateway.admin.users.queries import User, known_users
from services.gateway.http.requests.cursors import Place
from services.gateway.sessions.finding.page_keys import PLANNED_BY_VALUES
from shared.database import Connection, Pool, reading

MOST = 2**31 - 1
TODAY = "SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date AS day"
# The day is a value: of one that it reads itself the planner does not know, behind a policy, that there is only one.
# Users who are being erased are gone at once.
WALK = """
    SELECT u.day, u.refused, u.user_id FROM gateway.usage u
    WHERE u.day = $2 AND u.refused > 0
        AND (u.refused, u.user_id) < ($3::integer, $4::text)
        AND NOT EXISTS (SELECT FROM gateway.erasures e
            WHERE e.user_hash = tripthread.user_hash(u.user_id) AND e.done_at IS NULL)
    ORDER BY u.refused DESC, u.user_id DESC LIMIT $1
"""


class RefusedUserQueries:
    def __init__(self, admin: Pool) -> None:
        self._admin = admin

    async def page(self, limit: int, before: Place | None) -> list[tuple[Place, User]]:
        """Return up to `limit` users; who is refused once more meanwhile has gone up in the list."""
        async with reading(self._admin, first=PLANNED_BY_VALUES) as db:
            rows = await refused_most(db, limit, before)
            users = await known_users(db, [row["user_id"] for row in rows])
        return [(_place_in(row), user) for row, user in zip(rows, users, strict=True)]


async def refused_most(db: Connection, limit: int, before: Place | None) -> Sequence[asyncpg.Record]:
    """Return who was refused how often, and the day: a page goes on with the day on which its list began."""
    if before is None:
        (today,) = await db.fetch(TODAY)
        day, refused, user_id = today["day"], MOST, ""
    else:
        day, (refused, user_id) = before[0].date(), read_key(before[1])
    rows: Sequence[asyncpg.Record] = await db.fetch(WALK, limit, day, refused, user_id)
    return rows


def _place_in(row: asyncpg.Record) -> Place:
    return datetime.combine(row["day"], time(), UTC), f"{row['refused']}/{row['user_id']}"


def read_key(key: str) -> tuple[int, str]:
    """Read a count and a user in a cursor.

    Raises:
        ValueError: There are not both, or nobody can be refused so often.
    """
    refused, _, user_id = key.partition("/")
    count = int(refused)
    if not user_id or not 0 <= count <= MOST:
        raise ValueError("names no user who was refused")
    return count, user_id

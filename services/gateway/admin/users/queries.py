"""Read who there is, for administrators: whose sessions are stored, those who were active last first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from services.gateway.account.limits.quota import KINDS, Quota, Usage
from services.gateway.admin.conversations.session_queries import place_of, read_key
from services.gateway.admin.looking import LOOKED_THROUGH, Looked
from services.gateway.deletion.hidden import is_shown
from services.gateway.http.requests.cursors import Place
from services.gateway.sessions.finding.page_keys import PLANNED_BY_VALUES
from shared.database import Connection, Pool, reading

# The newest session of a user, which are kept apart by what `sessions_in_order` keeps apart.
_NEWEST = """
    SELECT s.user_id, s.session_id, s.last_activity_at, s.created_at
    FROM unnest('{false,true}'::boolean[]) AS a (archived) CROSS JOIN unnest('{false,true}'::boolean[]) AS p (pinned)
    CROSS JOIN LATERAL (SELECT * FROM chat.sessions own
        WHERE own.user_id = {owner} AND own.archived = a.archived AND own.pinned = p.pinned AND own.deleted_at IS NULL
            AND {is_shown}
        ORDER BY own.last_activity_at DESC, own.session_id DESC LIMIT 1) s
    ORDER BY s.last_activity_at DESC, s.session_id DESC LIMIT 1
"""
_NEWEST = _NEWEST.replace("{is_shown}", is_shown("own", "own.created_at"))
_OF_OWNER = _NEWEST.replace("{owner}", "first.user_id")
_OF_ONE = _NEWEST.replace("{owner}", "$1")
_ORDER = "ORDER BY last_activity_at DESC, session_id DESC, user_id DESC"
# Whoever's newest session is among those that come next stands where that stands; of others an older one is found.
WALK = f"""
    WITH walked AS MATERIALIZED (
        SELECT s.user_id, s.session_id, s.last_activity_at, s.created_at FROM chat.sessions s
        WHERE s.deleted_at IS NULL AND s.message_count >= 0
            AND s.last_activity_at <= coalesce($2::timestamptz, 'infinity')
            AND (s.last_activity_at, s.session_id, s.user_id)
                < (coalesce($2::timestamptz, 'infinity'), $3::text, $4::text)
            AND s.last_activity_at >= coalesce($5::timestamptz, '-infinity')
            AND s.last_activity_at < coalesce($6::timestamptz, 'infinity')
        {_ORDER} LIMIT $1
    ), first AS MATERIALIZED (
        SELECT DISTINCT ON (user_id) user_id, session_id FROM walked WHERE {is_shown("walked", "walked.created_at")}
        ORDER BY user_id, last_activity_at DESC, session_id DESC
    ), found AS (
        SELECT item.* FROM first CROSS JOIN LATERAL ({_OF_OWNER}) item
        WHERE item.session_id = first.session_id
    ), counted AS (SELECT count(*) AS looked FROM walked), last AS (
        SELECT * FROM walked ORDER BY last_activity_at, session_id, user_id LIMIT 1)
    SELECT looked, last.user_id AS last_user, last.session_id AS last_session, last.last_activity_at AS last_at, page.*
    FROM counted CROSS JOIN last LEFT JOIN (SELECT * FROM found {_ORDER} LIMIT $7) page ON true
    {_ORDER.replace("ORDER BY ", "ORDER BY page.").replace(", ", ", page.")}
"""  # noqa: S608 - constants of this module, here and below
NEWEST_OF = f"""
    SELECT item.last_activity_at FROM unnest($1::text[]) WITH ORDINALITY AS wanted (user_id, number)
    LEFT JOIN LATERAL ({_NEWEST.replace("{owner}", "wanted.user_id")}) item ON true
    ORDER BY wanted.number
"""  # noqa: S608
ONE = _OF_ONE
COUNTS = ("turns", "input_tokens", "output_tokens", "sessions", "refused")
KNOWN = f"""
    SELECT wanted.user_id, link.user_id AS linked_to, u.user_id AS said_of, {", ".join(f"u.{kind}" for kind in KINDS)},
        today.day, used.day AS used_on, {", ".join(f"coalesce(used.{count}, 0) AS {count}" for count in COUNTS)},
        ARRAY(SELECT l.visitor_id FROM gateway.linked_visitors l WHERE l.user_id = wanted.user_id
            ORDER BY l.linked_at LIMIT 100) AS visitors,
        (SELECT count(*) FROM (SELECT FROM gateway.turns t
            WHERE t.user_id = wanted.user_id AND t.state = 'running' LIMIT 100) running) AS running_turns
    FROM unnest($1::text[]) WITH ORDINALITY AS wanted (user_id, number)
    LEFT JOIN LATERAL (SELECT * FROM gateway.linked_visitors own
        WHERE own.visitor_id = wanted.user_id OFFSET 0) link ON true
    LEFT JOIN LATERAL (SELECT * FROM gateway.users own WHERE own.user_id = wanted.user_id OFFSET 0) u ON true
    CROSS JOIN (SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date AS day OFFSET 0) today
    LEFT JOIN LATERAL (SELECT * FROM gateway.usage own
        WHERE own.user_id = wanted.user_id AND own.day = today.day OFFSET 0) used ON true
    ORDER BY wanted.number
"""  # noqa: S608


@dataclass(frozen=True)
class User:
    """Somebody who has said something, as administrators see them."""

    user_id: str
    last_activity_at: datetime | None  # of their sessions; none: they have none
    linked_to: str | None  # of a visitor who has signed in: whose they are
    visitors: Sequence[str]  # whom they were before they signed in
    running_turns: int  # up to 100
    quota: Quota  # what an administrator has said of them
    today: Usage


class UserQueries:
    def __init__(self, admin: Pool) -> None:
        self._admin = admin

    async def page(
        self, limit: int, before: Place | None, since: datetime | None, until: datetime | None
    ) -> Looked[User]:
        """Return up to `limit` users, those who were active last first."""
        async with reading(self._admin, first=PLANNED_BY_VALUES) as db:
            placed, reached = await newest_of_users(db, limit, before, since, until)
            users = await _known(db, [row for _, row in placed])
        return Looked([(place, user) for (place, _), user in zip(placed, users, strict=True)], reached)

    async def find(self, user_id: str) -> User | None:
        """Return one; None where nothing of them is here."""
        async with reading(self._admin, first=PLANNED_BY_VALUES) as db:
            row = await db.fetchrow(ONE, user_id)
            (known,) = await db.fetch(KNOWN, [user_id])
        if row is None and not any(known[name] for name in ("said_of", "used_on", "linked_to", "visitors")):
            return None
        return _user(user_id, row["last_activity_at"] if row else None, known)


async def newest_of_users(
    db: Connection, limit: int, before: Place | None, since: datetime | None, until: datetime | None
) -> tuple[list[tuple[Place, asyncpg.Record]], Place | None]:
    """Return the newest session of each user on the page, with its place, and where the look ended."""
    at, key = before or (None, "/")
    rows = await db.fetch(WALK, LOOKED_THROUGH, at, *read_key(key), since, until, limit)
    placed = [(_place_in(row), row) for row in rows if row["user_id"] is not None]
    if not rows or rows[0]["looked"] < LOOKED_THROUGH:
        return placed, None
    return placed, place_of(rows[0]["last_at"], rows[0]["last_session"], rows[0]["last_user"])


async def known_users(db: Connection, user_ids: Sequence[str]) -> list[User]:
    """Return what is known of each of these, whether anything of theirs is stored or not."""
    newest, known = await db.fetch(NEWEST_OF, user_ids), await db.fetch(KNOWN, user_ids)
    return [
        _user(user_id, last["last_activity_at"], each)
        for user_id, last, each in zip(user_ids, newest, known, strict=True)
    ]


async def _known(db: Connection, rows: Sequence[asyncpg.Record]) -> list[User]:
    known = await db.fetch(KNOWN, [row["user_id"] for row in rows]) if rows else []
    return [_user(row["user_id"], row["last_activity_at"], each) for row, each in zip(rows, known, strict=True)]


def _user(user_id: str, last_activity_at: datetime | None, known: asyncpg.Record) -> User:
    quota = Quota(**{kind: known[kind] for kind in KINDS})
    today = Usage(day=known["day"], **{count: known[count] for count in COUNTS})
    return User(user_id, last_activity_at, known["linked_to"], known["visitors"], known["running_turns"], quota, today)


def _place_in(row: asyncpg.Record) -> Place:
    return place_of(row["last_activity_at"], row["session_id"], row["user_id"])

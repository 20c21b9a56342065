"""Read the messages of all users, flat, for administrators: what is stored, those that were stored last first.

All of them, one user's and one session's are each walked by an index of their own. Whatever else is asked of them is
asked of so many rows for a page; but a tag is looked up, and so are one user's words where few of the newest have them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from services.gateway.admin.conversations.session_queries import sessions_tagged
from services.gateway.admin.looking import LOOKED_THROUGH, SEARCHED, Looked, Places, looking
from services.gateway.admin.looking import found as found_places
from services.gateway.deletion.hidden import is_shown
from services.gateway.http.requests.cursors import Place
from services.gateway.sessions.finding.page_keys import PLANNED_BY_VALUES
from shared.database import Connection, Pool, reading
from shared.ids import user_hash
from shared.search_words import OWNER, OWNER_KEY_LENGTH, Search

MOST_FOUND = (
    2_000  # messages with a tag, or of one user with the words: so many are sorted, of more a page is looked for
)
RARE = 5  # of `SEARCHED`: what more have is not looked up, which reads all that have it
PAGE_BYTES = 2_000_000  # of texts, parts and metadata on one page, after its first message

# Those of one session stand where they were said, others where they were stored.
_AT = {True: "created_at", False: "stored_at"}
# By the last words alone the index of one user's messages may be read, so no other query is planned by it.
_WHOSE = {
    "all": "$9::text IS NULL AND $10::text IS NULL",
    "user": "item.user_id = $9 AND $10::text IS NULL AND item.revision >= 0",
    "session": "item.user_id = $9 AND item.session_id = $10",
}


def _order(at: str) -> str:
    return f"ORDER BY item.{at} DESC, item.message_id DESC, item.session_id DESC, item.user_id DESC"


def _from_there(at: str) -> str:
    return f"""
        item.{at} <= coalesce($2::timestamptz, 'infinity')
        AND (item.{at}, item.message_id, item.session_id, item.user_id)
            < (coalesce($2::timestamptz, 'infinity'), $3::text, $4::text, $5::text)
        AND item.{at} >= coalesce($6::timestamptz, '-infinity') AND item.{at} < coalesce($7::timestamptz, 'infinity')
    """


# OFFSET 0: by its key, whatever the planner takes the table for.
_FITS = f"""
    {is_shown("item", "item.created_at")}
    AND ($8::text IS NULL OR item.role = $8) AND ($11::text IS NULL OR item.model = $11)
    AND ($12::text IS NULL OR EXISTS (SELECT FROM (SELECT * FROM tagging.session_tags own
        WHERE own.user_id = item.user_id AND own.session_id = item.session_id OFFSET 0) g
        WHERE g.deleted_at IS NULL AND g.session_tag = $12))
    AND ($13::text IS NULL OR EXISTS (SELECT FROM (SELECT * FROM chat.search own
        WHERE own.user_id = item.user_id AND own.session_id = item.session_id
            AND own.message_id = item.message_id OFFSET 0) x
        WHERE x.terms @@ replace($13, '{OWNER}',
            left(encode(tripthread.user_hash(item.user_id), 'hex'), {OWNER_KEY_LENGTH}))::tsquery))
"""  # noqa: S608 - constants of this module, here and below
_COLUMNS = "item.user_id, item.session_id, item.message_id, item.created_at, item.stored_at, item.role, item.model"


def _walk(whose: str) -> str:
    at = _AT[whose == "session"]
    walk = f"""
        SELECT {_COLUMNS} FROM chat.messages item WHERE {_WHOSE[whose]} AND {_from_there(at)} {_order(at)} LIMIT $1
    """  # noqa: S608
    return looking(walk, fits=_FITS, order=_order(at))


WALKS = {whose: _walk(whose) for whose in _WHOSE}
# Without security policies in the way, as the administrators' are, `@@` goes by its index. OFFSET 0: by that one,
# whatever the planner takes a user for.
HAVING = """
    SELECT hit.user_id, hit.session_id, hit.message_id
    FROM (SELECT * FROM chat.search WHERE terms @@ $2::tsquery OFFSET 0) hit WHERE hit.user_id = $1 LIMIT $3
"""
BY_WORDS = "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = on"
OF_SESSIONS = """
    SELECT own.user_id, own.session_id, own.message_id FROM unnest($1::text[], $2::text[]) AS key (user_id, session_id)
    CROSS JOIN LATERAL (SELECT * FROM chat.messages m
        WHERE m.user_id = key.user_id AND m.session_id = key.session_id OFFSET 0) own
    LIMIT $3
"""
AMONG = f"""
    SELECT {_COLUMNS} FROM unnest($14::text[], $15::text[], $16::text[]) AS hit (user_id, session_id, message_id)
    CROSS JOIN LATERAL (SELECT * FROM chat.messages own WHERE own.user_id = hit.user_id
        AND own.session_id = hit.session_id AND own.message_id = hit.message_id OFFSET 0) item
    WHERE {_from_there("stored_at")} AND {_FITS} AND ($9::text IS NULL OR item.user_id = $9) AND $10::text IS NULL
    {_order("stored_at")} LIMIT $1
"""  # noqa: S608
SIZES = """
    SELECT octet_length(own.content) + octet_length(own.parts::text) + octet_length(own.metadata::text) AS size
    FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS key (user_id, session_id, message_id, number)
    LEFT JOIN LATERAL (SELECT * FROM chat.messages m WHERE m.user_id = key.user_id AND m.session_id = key.session_id
        AND m.message_id = key.message_id OFFSET 0) own ON true
    ORDER BY key.number
"""
ROWS = """
    SELECT own.user_id, own.session_id, own.message_id AS id, own.role, own.content, own.parts, own.model, own.status,
        own.error, own.parent_id, own.created_at, own.stored_at, own.metadata, own.client
    FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS key (user_id, session_id, message_id, number)
    CROSS JOIN LATERAL (SELECT * FROM chat.messages m WHERE m.user_id = key.user_id AND m.session_id = key.session_id
        AND m.message_id = key.message_id OFFSET 0) own
    ORDER BY key.number
"""


@dataclass(frozen=True)
class MessageFilter:
    """Which messages; None: all."""

    user: str | None = None
    session_id: str | None = None  # of that user
    model: str | None = None
    tag: str | None = None
    role: str | None = None
    search: Search | None = None
    since: datetime | None = None  # when they were stored; of one session: said
    until: datetime | None = None

    @property
    def whose(self) -> str:
        if self.user is None:
            return "all"
        return "user" if self.session_id is None else "session"

    @property
    def query(self) -> str | None:
        return self.search.as_query() if self.search else None

    @property
    def most(self) -> int:
        """How many rows are looked through for one page; 0: no more than are on it."""
        if self.search is not None:
            return SEARCHED
        return LOOKED_THROUGH if (self.model, self.tag, self.role) != (None, None, None) else 0


@dataclass(frozen=True)
class Weighed:
    """A message on a page, still to be read."""

    place: Place
    size: int  # bytes, of its text, parts and metadata


class EverybodysMessageQueries:
    def __init__(self, admin: Pool) -> None:
        self._admin = admin

    async def page(self, wanted: MessageFilter, limit: int, before: Place | None) -> Looked[Weighed]:
        """Return up to `limit` messages, the newest first, and no more than may be read at once."""
        async with reading(self._admin, first=PLANNED_BY_VALUES) as db:
            places, reached = await places_of(db, wanted, limit, before)
            sizes = [row["size"] or 0 for row in await db.fetch(SIZES, *_columns(places))]
        rows: list[tuple[Place, Weighed]] = []
        total = 0
        for place, size in zip(places, sizes, strict=True):
            total += size
            if rows and total > PAGE_BYTES:
                return Looked(rows, rows[-1][0])
            rows.append((place, Weighed(place, size)))
        return Looked(rows, reached)

    async def read(self, page: Sequence[Weighed]) -> list[dict[str, Any]]:
        """Return what these messages are; one that has gone since is not among them."""
        async with reading(self._admin) as db:
            return [dict(row) for row in await db.fetch(ROWS, *_columns([each.place for each in page]))]


async def places_of(db: Connection, wanted: MessageFilter, limit: int, before: Place | None) -> Places:
    """Return where messages stand, the newest first."""
    arguments, whose, most = _arguments(wanted, before), wanted.whose, max(limit, wanted.most)
    if wanted.tag is not None and whose != "session":
        few = await _tagged(db, wanted.tag, wanted.user)
        if few is not None:
            return await _among(db, few, limit, arguments), None
    rows = await db.fetch(WALKS[whose], most, *arguments)
    places, reached = found_places(rows, lambda row: _place_in(row, _AT[whose == "session"]), most, limit)
    if whose == "user" and wanted.query is not None and reached is not None and len(places) < min(limit, RARE):
        few = await _having(db, str(wanted.user), wanted.query)
        if few is not None:
            return await _among(db, few, limit, arguments), None
    return places, reached


async def _among(db: Connection, few: Sequence[asyncpg.Record], limit: int, arguments: Sequence[object]) -> list[Place]:
    """Return where those of these messages stand that are wanted."""
    keys = [[row[name] for row in few] for name in ("user_id", "session_id", "message_id")]
    return [_place_in(row, "stored_at") for row in await db.fetch(AMONG, limit, *arguments, *keys)]


async def _tagged(db: Connection, tag: str, user_id: str | None) -> Sequence[asyncpg.Record] | None:
    """Return the messages of the sessions with a tag; None where they are more than few."""
    keys = await sessions_tagged(db, tag, user_id)
    if keys is None:
        return None
    owners, sessions = [owner for owner, _ in keys], [session for _, session in keys]
    rows: Sequence[asyncpg.Record] = await db.fetch(OF_SESSIONS, owners, sessions, MOST_FOUND + 1)
    return None if len(rows) > MOST_FOUND else rows


async def _having(db: Connection, user_id: str, query: str) -> Sequence[asyncpg.Record] | None:
    """Return the messages of one user that have all words; None where they are more than few."""
    await db.execute(BY_WORDS)
    own = query.replace(OWNER, user_hash(user_id).hex()[:OWNER_KEY_LENGTH])
    rows = await db.fetch(HAVING, user_id, own, MOST_FOUND + 1)
    await db.execute(PLANNED_BY_VALUES)
    return None if len(rows) > MOST_FOUND else [row for row in rows if row["message_id"] is not None]  # no titles


def _arguments(wanted: MessageFilter, before: Place | None) -> tuple[object, ...]:
    """Return what every walk knows as $2 to $13."""
    at, key = before or (None, "//")
    return (
        at,
        *read_key(key),
        wanted.since,
        wanted.until,
        wanted.role,
        wanted.user,
        wanted.session_id,
        wanted.model,
        wanted.tag,
        wanted.query,
    )


def _place_in(row: asyncpg.Record, at: str) -> Place:
    return row[at], f"{row['message_id']}/{row['session_id']}/{row['user_id']}"


def read_key(key: str) -> tuple[str, str, str]:
    """Read message, session and user in a cursor.

    Raises:
        ValueError: There are not all of them.
    """
    message_id, session_id, user_id = key.split("/", 2)
    return message_id, session_id, user_id


def _columns(places: Sequence[Place]) -> tuple[list[str], list[str], list[str]]:
    keys = [read_key(key) for _, key in places]
    return [user for _, _, user in keys], [session for _, session, _ in keys], [message for message, _, _ in keys]

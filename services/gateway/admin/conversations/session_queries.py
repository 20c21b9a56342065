"""Read the sessions of all users, for administrators: as far as they are stored.

One user's are read as they would read them themselves, by the same statements; those of all are looked through.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from services.gateway.admin.looking import LOOKED_THROUGH, SEARCHED, Looked, Places, looking
from services.gateway.admin.looking import found as found_places
from services.gateway.deletion.hidden import is_shown
from services.gateway.http.requests.cursors import Place
from services.gateway.sessions.answers import Session
from services.gateway.sessions.finding.filters import SessionFilter
from services.gateway.sessions.finding.page_keys import PLANNED_BY_VALUES, Key, page_keys
from services.gateway.sessions.finding.searching import FEW_TEXTS, Found, found_among, found_page, found_texts
from services.gateway.sessions.queries import SessionQueries
from services.gateway.sessions.view import show_session
from shared.database import Connection, Pool, reading
from shared.search_words import Search

RARE = 500  # sessions with a tag: so many are sorted
AT_ONCE = 100  # sessions in which words are looked for by one statement

_ORDER = "ORDER BY item.last_activity_at DESC, item.session_id DESC, item.user_id DESC"
# `message_count >= 0`: see 0028_trips_of_all.
_FROM_THERE = """
    item.deleted_at IS NULL
    AND item.last_activity_at <= coalesce($2::timestamptz, 'infinity')
    AND (item.last_activity_at, item.session_id, item.user_id)
        < (coalesce($2::timestamptz, 'infinity'), $3::text, $4::text)
    AND item.last_activity_at >= coalesce($5::timestamptz, '-infinity')
    AND item.last_activity_at < coalesce($6::timestamptz, 'infinity')
"""
# OFFSET 0: by its key, whatever the planner takes the table for.
_FITS = f"""
    ($7::text IS NULL OR item.model = $7) AND {is_shown("item", "item.created_at")}
    AND ($8::text IS NULL OR EXISTS (SELECT FROM (SELECT * FROM tagging.session_tags own
        WHERE own.user_id = item.user_id AND own.session_id = item.session_id OFFSET 0) g
        WHERE g.deleted_at IS NULL AND g.session_tag = $8))
"""  # noqa: S608 - constants of this module, here and below
_COLUMNS = "item.user_id, item.session_id, item.last_activity_at, item.created_at, item.model"
WALK = looking(
    f"SELECT {_COLUMNS} FROM chat.sessions item WHERE item.message_count >= 0 AND {_FROM_THERE} {_ORDER} LIMIT $1",  # noqa: S608
    fits=_FITS,
    order=_ORDER,
)
OF_THESE = f"""
    SELECT {_COLUMNS} FROM unnest($9::text[], $10::text[]) AS tagged (user_id, session_id)
    CROSS JOIN LATERAL (SELECT * FROM chat.sessions own
        WHERE own.user_id = tagged.user_id AND own.session_id = tagged.session_id OFFSET 0) item
    WHERE {_FROM_THERE} AND {_FITS} {_ORDER} LIMIT $1
"""  # noqa: S608
TAGGED = """
    SELECT user_id, session_id FROM tagging.session_tags
    WHERE session_tag = $1 AND deleted_at IS NULL AND ($3::text IS NULL OR user_id = $3) LIMIT $2
"""
CLIENTS = """
    SELECT own.user_id, own.session_id, own.first_client, own.last_client
    FROM unnest($1::text[], $2::text[]) AS wanted (user_id, session_id)
    CROSS JOIN LATERAL (SELECT * FROM chat.sessions s
        WHERE s.user_id = wanted.user_id AND s.session_id = wanted.session_id OFFSET 0) own
"""


@dataclass(frozen=True)
class EverybodysFilter:
    """Which sessions; None: all."""

    user: str | None = None
    model: str | None = None
    tag: str | None = None
    search: Search | None = None
    since: datetime | None = None  # of their last activity
    until: datetime | None = None  # before which it was

    @property
    def asks_of_each(self) -> bool:
        return self.model is not None or self.tag is not None


@dataclass(frozen=True)
class Shown:
    """A session, with what only administrators see of it."""

    user_id: str
    session: Session
    message_id: str | None  # in which the words were found; none: in the title, or nothing was looked for
    first_client: Sequence[str] | None = None  # when, address, user agent
    last_client: Sequence[str] | None = None


class EverybodysSessionQueries:
    def __init__(self, admin: Pool, reader: Pool) -> None:
        self._admin = admin
        self._reader = reader

    async def page(self, wanted: EverybodysFilter, limit: int, before: Place | None) -> Looked[Shown]:
        """Return up to `limit` sessions, the newest activity first."""
        if wanted.user is not None:
            found = await self._of_user(wanted.user, wanted, limit, before)
            return Looked(await self._shown(list(found), found, wanted, limit))
        if wanted.search is not None:
            return await self._searched(wanted, limit, before)
        places, reached = await self._places(wanted, limit, before)
        return Looked(await self._shown(list(map(_key_at, places)), {}, wanted, limit), reached)

    async def texts(self, found: Found) -> dict[Key, str]:
        """Return what the messages say that were found."""
        async with reading(self._reader, *dict.fromkeys(user_id for user_id, _ in found)) as db:
            return await found_texts(db, found)

    async def _of_user(self, user_id: str, wanted: EverybodysFilter, limit: int, before: Place | None) -> Found:
        """Return one user's sessions, archived or not, with the message that was found in each."""
        found: dict[Key, str | None] = {}
        begin = _earlier(_of_session(before), wanted.until)
        async with reading(self._reader, user_id, first=PLANNED_BY_VALUES) as db:
            for archived in (False, True):
                which = SessionFilter(model=wanted.model, tag=wanted.tag, search=wanted.search, archived=archived)
                if which.search is not None:
                    found |= await found_page(db, (user_id,), which, limit, begin)
                else:
                    found |= dict.fromkeys(await page_keys(db, (user_id,), which, limit, begin))
        return found

    async def _searched(self, wanted: EverybodysFilter, limit: int, before: Place | None) -> Looked[Shown]:
        """Look for words in the newest of all sessions, in the newest texts of each."""
        places, reached = await self._places(wanted, SEARCHED, before)
        found: dict[Key, str | None] = {}
        for first in range(0, len(places), AT_ONCE):
            few = list(map(_key_at, places[first : first + AT_ONCE]))
            owners = dict.fromkeys(user_id for user_id, _ in few)
            async with reading(self._reader, *owners, first=PLANNED_BY_VALUES) as db:
                here, _ = await found_among(db, SessionFilter(search=wanted.search), few, FEW_TEXTS)
            found |= {key: here[key] for key in few if key in here}
            if len(found) >= limit:
                reached = places[: first + AT_ONCE][-1]
                break
        return Looked(await self._shown(list(found), found, wanted, len(found)), reached)

    async def _places(self, wanted: EverybodysFilter, limit: int, before: Place | None) -> Places:
        async with reading(self._admin, first=PLANNED_BY_VALUES) as db:
            return await places_of_all(db, wanted, limit, before)

    async def _shown(
        self, keys: Sequence[Key], found: Found, wanted: EverybodysFilter, limit: int
    ) -> list[tuple[Place, Shown]]:
        facts = await SessionQueries(self._admin).facts_of(keys)
        views = [view for view in (show_session(fact, ()) for fact in facts) if view is not None]
        clients = await self._clients([(view.user_id, view.session.id) for view in views])
        shown = [
            (
                place_of(view.session.last_activity_at, view.session.id, view.user_id),
                Shown(view.user_id, view.session, found.get(key), *clients.get(key, (None, None))),
            )
            for view in views
            if (key := (view.user_id, view.session.id)) and _is_between(view.session.last_activity_at, wanted)
        ]
        return sorted(shown, key=lambda each: order_of(each[0]), reverse=True)[:limit]

    async def _clients(self, keys: Sequence[Key]) -> dict[Key, tuple[Sequence[str] | None, Sequence[str] | None]]:
        """Return from where the first and the last message of each session came."""
        async with reading(self._admin) as db:
            rows = await db.fetch(CLIENTS, [user_id for user_id, _ in keys], [session for _, session in keys])
        return {(row["user_id"], row["session_id"]): (row["first_client"], row["last_client"]) for row in rows}


async def places_of_all(db: Connection, wanted: EverybodysFilter, limit: int, before: Place | None) -> Places:
    """Return where sessions of all users stand, the newest activity first, whatever words are looked for in them."""
    tagged = await sessions_tagged(db, wanted.tag) if wanted.tag is not None else None
    if tagged is not None:
        owners, sessions = [user for user, _ in tagged], [session for _, session in tagged]
        rows = await db.fetch(OF_THESE, limit, *_arguments(wanted, before), owners, sessions)
        return list(map(_place_in, rows)), None
    most = max(limit, LOOKED_THROUGH) if wanted.asks_of_each else limit
    rows = await db.fetch(WALK, most, *_arguments(wanted, before))
    return found_places(rows, _place_in, most, limit)


def place_of(at: datetime, session_id: str, user_id: str) -> Place:
    return at, f"{session_id}/{user_id}"


def _place_in(row: asyncpg.Record) -> Place:
    return place_of(row["last_activity_at"], row["session_id"], row["user_id"])


def _key_at(place: Place) -> Key:
    session_id, user_id = read_key(place[1])
    return user_id, session_id


def read_key(key: str) -> tuple[str, str]:
    """Read session and user in a cursor.

    Raises:
        ValueError: There are not both.
    """
    session_id, slash, user_id = key.partition("/")
    if not slash:
        raise ValueError("names no user")
    return session_id, user_id


def order_of(place: Place) -> tuple[datetime, str, str]:
    return (place[0], *read_key(place[1]))


def _of_session(place: Place | None) -> Place | None:
    """Return the place in one user's list."""
    return None if place is None else (place[0], read_key(place[1])[0])


def _earlier(place: Place | None, until: datetime | None) -> Place | None:
    if until is None:
        return place
    return (until, "") if place is None else min(place, (until, ""))


def _is_between(at: datetime, wanted: EverybodysFilter) -> bool:
    return (wanted.since is None or at >= wanted.since) and (wanted.until is None or at < wanted.until)


def _arguments(wanted: EverybodysFilter, before: Place | None) -> tuple[object, ...]:
    """Return what both statements know as $2 to $8."""
    at, key = before or (None, "/")
    return at, *read_key(key), wanted.since, wanted.until, wanted.model, wanted.tag


async def sessions_tagged(db: Connection, tag: str, user_id: str | None = None) -> list[Key] | None:
    """Return the sessions with a tag, of all or of one user; None where there are more than few: each counts from 1."""
    rows = await db.fetch(TAGGED, tag, RARE + 1, user_id)
    return None if len(rows) > RARE else [(row["user_id"], row["session_id"]) for row in rows]

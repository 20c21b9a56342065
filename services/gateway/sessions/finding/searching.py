"""Find sessions by the words of their titles and messages, each with the message that was found.

`chat.search_sessions` tells which of some have the words, `chat.search_everywhere` which of all; which of them are on
the page is told by the statements of every other list. The newest sessions are looked through first: a common word is
in some of them, and is found without its many places. A rare one is looked up, and what is found is put in order.
"""

from collections.abc import Mapping, Sequence

from services.gateway.http.requests.cursors import Place
from services.gateway.sessions.finding.filters import SessionFilter
from services.gateway.sessions.finding.page_keys import Key, marked_keys, of_these, walk
from shared.database import Connection
from shared.search_words import MOST_CHARACTERS

Found = Mapping[Key, str | None]  # the message that was found; none: it is in the title

FEW_TEXTS = 300  # of one session, in a first look
ALL_TEXTS = 2_000_000_000
MOST_TEXTS = 20_000  # with a word: of so many all are looked up, and of more the sessions are looked through


async def found_page(
    db: Connection, user_ids: Sequence[str], wanted: SessionFilter, limit: int, before: Place | None
) -> Found:
    """Return up to `limit` sessions from this place on, the newest activity first."""
    marked = await marked_keys(db, user_ids, wanted)
    if marked is not None:
        found, _ = await found_among(db, wanted, marked)
        return await _in_order(db, found, wanted, limit, before)
    keys, _ = await walk(db, user_ids, wanted, 2 * limit, before)
    found, are_known = await found_among(db, wanted, keys, FEW_TEXTS)
    if are_known and (len(found) >= limit or len(keys) < 2 * limit):
        return _first(found, keys, limit)
    found, are_all = await _found_anywhere(db, wanted, keys)
    if are_all:
        return await _in_order(db, found, wanted, limit, before)
    return await _looked_through(db, user_ids, wanted, limit, before)


async def found_among(
    db: Connection, wanted: SessionFilter, keys: Sequence[Key], most_texts: int = ALL_TEXTS
) -> tuple[Found, bool]:
    """Return those of these sessions that have the words, and whether no other of them can have them."""
    if not keys:
        return {}, True
    rows = await db.fetch(
        "SELECT * FROM chat.search_sessions($1, $2, $3, $4, NULL)",
        _query(wanted),
        [user_id for user_id, _ in keys],
        [session_id for _, session_id in keys],
        most_texts,
    )
    found = {(row["user_id"], row["session_id"]): row["message_id"] for row in rows if row["is_known"]}
    return found, len(found) == len(rows)


async def found_texts(db: Connection, found: Found) -> dict[Key, str]:
    """Return what those messages say, as far as it is searched."""
    rows = await db.fetch(
        f"""
        SELECT found.user_id, found.session_id, said.content
        FROM unnest($1::text[], $2::text[], $3::text[]) AS found (user_id, session_id, message_id)
        CROSS JOIN LATERAL (SELECT left(m.content, {MOST_CHARACTERS}) AS content FROM chat.messages m
            WHERE m.user_id = found.user_id AND m.session_id = found.session_id AND m.message_id = found.message_id
            OFFSET 0) said
        """,  # noqa: S608 - a constant
        [user_id for user_id, _ in found],
        [session_id for _, session_id in found],
        list(found.values()),
    )
    return {(row["user_id"], row["session_id"]): row["content"] for row in rows}


async def _found_anywhere(db: Connection, wanted: SessionFilter, newest: Sequence[Key]) -> tuple[Found, bool]:
    """Return those of all sessions that have the words, and whether no other can; these tell how common words are."""
    rows = await db.fetch(
        "SELECT * FROM chat.search_everywhere($1, $2, $3, $4, $5)",
        _query(wanted),
        wanted.search.whole_words() if wanted.search else None,
        [user_id for user_id, _ in newest],
        [session_id for _, session_id in newest],
        MOST_TEXTS,
    )
    found = {(row["user_id"], row["session_id"]): row["message_id"] for row in rows}
    return found, all(row["is_known"] for row in rows)


async def _looked_through(
    db: Connection, user_ids: Sequence[str], wanted: SessionFilter, limit: int, before: Place | None
) -> Found:
    """Look through the sessions, the newest first, until there are enough."""
    found: dict[Key, str | None] = {}
    at_once = 4 * limit
    while len(found) < limit:
        keys, last = await walk(db, user_ids, wanted, at_once, before)
        among, _ = await found_among(db, wanted, keys)
        found |= _first(among, keys, limit - len(found))
        if len(keys) < at_once:
            break
        before, at_once = last, 2 * at_once
    return found


async def _in_order(db: Connection, found: Found, wanted: SessionFilter, limit: int, before: Place | None) -> Found:
    return _first(found, await of_these(db, list(found), wanted, limit, before), limit)


def _first(found: Found, keys: Sequence[Key], limit: int) -> Found:
    """Return what was found, in the order of the keys."""
    return {key: found[key] for key in [key for key in keys if key in found][:limit]}


def _query(wanted: SessionFilter) -> str | None:
    return wanted.search.as_query() if wanted.search else None  # which finds nothing

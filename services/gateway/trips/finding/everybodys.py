"""Find and count the trips of all users, for administrators: as far as their sessions are stored.

Few that are asked for are found by what they are asked by, and sorted; many by a walk through all sessions in the
list's order, which soon has a page of them.
"""

from collections import Counter

import asyncpg

from services.gateway.deletion.hidden import is_shown
from services.gateway.http.requests.cursors import Place
from services.gateway.sessions.status import STATUS_IN_SQL, TripStatus
from services.gateway.trips.finding.filters import TripFilter
from services.gateway.trips.finding.page_keys import (
    SESSION,
    TRIP,
    Order,
    beginning,
    filtering,
    fits,
    key_of,
    order_of,
)
from shared.database import Connection

# `message_count >= 0` and `started_at > '-infinity'` are true of every row: by these words only an index of everybody's
# rows may be read, which no query for one user must be planned by.
FEW, FEW_OVER = 2_000, 20_000  # trips; those that are over are old, so that a walk comes to them last
MOST_COUNTED = 100_000  # rows, the newest
_SHOWN = is_shown("s", "s.started_at")


def _asked(first: int) -> str:
    """Write what is asked by `filtering` from the parameter of this number on, and the status after it.

    Whether a trip is over an index knows; the rest of a status time alone tells.
    """
    status = f"${first + 10}::text"
    return f"""
        s.deleted_at IS NULL AND s.started_at > '-infinity' AND {_SHOWN} AND {fits(first)}
        AND ({status} IS NULL OR {status} = {STATUS_IN_SQL})
        AND ({status} IS NULL
            OR (coalesce(t.proposal_sent_at, t.closed_at) IS NULL) = ({status} IN ('active', 'paused')))
    """


FOUND = f"""
    SELECT s.user_id, s.session_id, s.trip_id, spoken.spoken_at, coalesce(spoken.spoken_at, s.started_at) AS place_at
    FROM workflow.trips t JOIN workflow.trip_sessions s USING (trip_id) {SESSION}
    CROSS JOIN LATERAL (SELECT c.last_activity_at AS spoken_at) spoken
    WHERE {_asked(2)} AND c.deleted_at IS NULL LIMIT $1
"""  # noqa: S608
WALKED = f"""
    SELECT s.user_id, s.session_id, s.trip_id, spoken.spoken_at, c.last_activity_at AS place_at
    FROM chat.sessions c
    CROSS JOIN LATERAL (SELECT * FROM workflow.trip_sessions own
        WHERE own.user_id = c.user_id AND own.session_id = c.session_id OFFSET 0) s
    {TRIP}
    CROSS JOIN LATERAL (SELECT c.last_activity_at AS spoken_at) spoken
    WHERE c.deleted_at IS NULL AND c.message_count >= 0 AND c.last_activity_at <= coalesce($2::timestamptz, 'infinity')
        AND (c.last_activity_at, s.trip_id, s.session_id, s.user_id)
            < (coalesce($2::timestamptz, 'infinity'), $3::uuid, $4::text, $5::text)
        AND {_asked(6)}
    ORDER BY c.last_activity_at DESC, s.trip_id DESC, s.session_id DESC, s.user_id DESC LIMIT $1
"""  # noqa: S608
# What was said counts only where nothing else makes a trip active, or over.
COUNTED = f"""
    SELECT status, step, count(*) AS number FROM (
        SELECT t.step, {STATUS_IN_SQL} AS status
        FROM (SELECT * FROM workflow.trip_sessions own WHERE own.deleted_at IS NULL
                AND own.started_at > '-infinity' ORDER BY own.started_at DESC LIMIT $1) s
        {TRIP}
        LEFT JOIN LATERAL (SELECT own.last_activity_at AS spoken_at FROM chat.sessions own
            WHERE own.user_id = s.user_id AND own.session_id = s.session_id
                AND t.closed_at IS NULL AND t.proposal_sent_at IS NULL
                AND (t.last_activity_at <= now() - interval '30 minutes' OR t.paused_at IS NOT NULL) OFFSET 0
            ) spoken ON true
        WHERE {_SHOWN}) tie
    GROUP BY status, step
"""  # noqa: S608
# Each reading by an index, whatever is known of the tables.
BY_INDEX = "SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL enable_seqscan = off"


async def keys_of_all(
    db: Connection, wanted: TripFilter, limit: int, before: Place | None, few: int | None = None
) -> list[asyncpg.Record]:
    """Choose up to `limit` trips, that of the session with the newest activity first."""
    asked = (*filtering(wanted), wanted.status)
    if few is None:
        few = FEW if wanted.status in (None, "active", "paused") else FEW_OVER
    found = await db.fetch(FOUND, few + 1, *asked)
    if len(found) > few:
        return await db.fetch(WALKED, limit, *beginning(before), *asked)
    following = [row for row in found if before is None or _order(row) < order_of(before)]
    return sorted(following, key=_order, reverse=True)[:limit]


async def count_of_all(db: Connection) -> Counter[tuple[TripStatus, str]]:
    """Count what is listed, by status and step: of more than `MOST_COUNTED` those that began last."""
    rows = await db.fetch(COUNTED, MOST_COUNTED)
    return Counter({(row["status"], row["step"]): row["number"] for row in rows})


def _order(row: asyncpg.Record) -> Order:
    return order_of((row["place_at"], key_of(row["trip_id"], row["session_id"], row["user_id"])))

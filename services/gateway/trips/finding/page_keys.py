"""Find the trips of a page: those of some users, by what was said in their sessions."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg

from services.gateway.http.requests.cursors import Place
from services.gateway.sessions.status import STATUS_IN_SQL
from services.gateway.trips.finding.filters import TripFilter
from services.gateway.trips.finding.primary_quote import HAS_PRIMARY
from services.gateway.turns.stored.readings import Spoken
from shared.database import Connection

Order = tuple[datetime, tuple[str, str, str]]

NO_TRIP = "00000000-0000-0000-0000-000000000000"  # less than any trip's id

# OFFSET 0: each by its key, or row-level security makes the planner read all of a table.
TRIP = "CROSS JOIN LATERAL (SELECT * FROM workflow.trips own WHERE own.trip_id = s.trip_id OFFSET 0) t"
SESSION = """
    LEFT JOIN LATERAL (SELECT own.last_activity_at, own.project_id, own.deleted_at FROM chat.sessions own
        WHERE own.user_id = s.user_id AND own.session_id = s.session_id OFFSET 0) c ON true
"""
# $1 and $2 to $5: the owners' sessions in which something is not stored yet, and when that was said.
TIES_OF_USERS = f"""
    SELECT s.user_id, s.session_id, s.trip_id, spoken.spoken_at, t.step, {STATUS_IN_SQL} AS status,
        coalesce(spoken.spoken_at, s.started_at) AS place_at
    FROM workflow.trip_sessions s {TRIP} {SESSION}
    LEFT JOIN unnest($2::text[], $3::text[], $4::timestamptz[], $5::text[])
        AS turn (user_id, session_id, at, project_id) ON (turn.user_id, turn.session_id) = (s.user_id, s.session_id)
    CROSS JOIN LATERAL (SELECT greatest(c.last_activity_at, turn.at) AS spoken_at) spoken
    WHERE s.user_id = ANY ($1) AND s.deleted_at IS NULL AND c.deleted_at IS NULL
        AND ($6::text[] IS NULL OR coalesce(c.project_id, turn.project_id) = ANY ($6))
"""  # noqa: S608 - constants of this folder, here and below
# Which of them a filter asks for.
_FITS = """
    ({0}::uuid IS NULL OR s.trip_id = {0})
    AND ({1}::text IS NULL OR s.trip_id = ANY (ARRAY (SELECT named.trip_id FROM workflow.trips named
        WHERE named.avinode_trip_id = {1} OR named.trip_code = {1})))
    AND ({2}::text IS NULL OR s.session_id = {2})
    AND ({3}::uuid IS NULL OR s.request_id = {3})
    AND ({4}::text IS NULL OR t.avinode_rfp_id = {4})
    AND ({5}::text IS NULL OR s.trip_id = ANY (ARRAY (SELECT f.trip_id FROM workflow.rfqs f WHERE f.rfq_id = {5})))
    AND ({6}::text IS NULL OR s.trip_id = ANY (ARRAY (SELECT n.trip_id FROM workflow.quotes n WHERE n.quote_id = {6})))
    AND ({7}::text IS NULL OR t.step = {7})
    AND (NOT {8}::boolean OR s.open)
    AND ({9}::boolean IS NULL OR {primary} = {9})
"""


def fits(first: int) -> str:
    """Write what a filter asks of a tie `s` and its trip `t`, of the parameters of `filtering` from this number on."""
    return _FITS.format(*(f"${number}" for number in range(first, first + 10)), primary=HAS_PRIMARY)


# What is sorted is the trips of these users alone.
OF_USERS = f"""
    SELECT * FROM ({TIES_OF_USERS} AND {fits(7)}) tie
    WHERE ($17::text IS NULL OR status = $17)
        AND (place_at, trip_id, session_id, user_id) < (coalesce($18::timestamptz, 'infinity'), $19::uuid, $20::text,
            $21::text)
    ORDER BY place_at DESC, trip_id DESC, session_id DESC, user_id DESC LIMIT $22
"""  # noqa: S608

COUNTED = f"SELECT status, step, count(*) AS number FROM ({TIES_OF_USERS}) tie GROUP BY status, step"  # noqa: S608


def key_of(trip_id: object, session_id: str, user_id: str) -> str:
    """Spell what tells apart those of one moment, in their order; a session without a trip comes after all others."""
    return f"{trip_id or ''}/{session_id}/{user_id}"


def read_key(key: str) -> tuple[str, str, str]:
    """Read such a key: the trip's id, or "", the session's and the user's. Those of the last release name no user."""
    trip_id, _, rest = key.partition("/")
    session_id, _, user_id = rest.partition("/")
    return trip_id, session_id, user_id


def order_of(place: Place) -> Order:
    """Return what places are compared by: as text one id could end in the middle of another."""
    at, key = place
    return at, read_key(key)


async def keys_of_users(
    db: Connection,
    user_ids: Sequence[str],
    wanted: TripFilter,
    limit: int,
    before: Place | None,
    *,
    spoken: Sequence[Spoken],
) -> list[asyncpg.Record]:
    """Choose trips by what the sessions' owners have said: two services' tables, so no index has the order."""
    return await db.fetch(
        OF_USERS, *owned(user_ids, wanted, spoken), *filtering(wanted), wanted.status, *beginning(before), limit
    )


def owned(user_ids: Sequence[str], wanted: TripFilter, spoken: Sequence[Spoken]) -> tuple[Any, ...]:
    """Return what `TIES_OF_USERS` knows as $1 to $6."""
    return (
        list(user_ids),
        [turn.user_id for turn in spoken],
        [turn.session_id for turn in spoken],
        [turn.at for turn in spoken],
        [turn.project_id for turn in spoken],
        wanted.projects,
    )


def filtering(wanted: TripFilter) -> tuple[Any, ...]:
    return (
        wanted.trip_id,
        wanted.avinode_trip_id,
        wanted.session_id,
        wanted.request_id,
        wanted.avinode_rfp_id,
        wanted.avinode_rfq_id,
        wanted.quote_id,
        wanted.step,
        wanted.open_only,
        wanted.with_quote,
    )


def beginning(before: Place | None) -> tuple[Any, ...]:
    at, key = before or (None, "//")
    trip_id, session_id, user_id = read_key(key)
    return at, trip_id or NO_TRIP, session_id, user_id

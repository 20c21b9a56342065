"""Read workflow.trip_sessions and workflow.trips: which trips the sessions of a user are about.

What was said in a session counts for its trips: chat.sessions knows it, united with the turns that are not stored yet.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from services.gateway.account.projects import Projects
from services.gateway.http.requests.cursors import Place
from services.gateway.sessions.status import TripStatus, status_of
from services.gateway.trips.finding.everybodys import BY_INDEX, MOST_COUNTED, count_of_all, keys_of_all
from services.gateway.trips.finding.filters import TripFilter
from services.gateway.trips.finding.page_keys import COUNTED, key_of, keys_of_users, owned
from services.gateway.trips.finding.primary_quote import FIRST_STANDING
from services.gateway.trips.records.detail_queries import whole_trip
from services.gateway.trips.records.placed import PlacedOrder
from services.gateway.trips.records.record import Segment, Trip, TripRow
from services.gateway.turns.stored.readings import Spoken
from shared.database import Connection, Pool, reading
from shared.events import TripChanged


class TripQueries:
    """A user sees a trip through a session of theirs, and once for each such session."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(
        self,
        user_ids: Sequence[str],
        wanted: TripFilter,
        limit: int,
        before: Place | None = None,
        spoken: Sequence[Spoken] = (),
    ) -> list[tuple[Place, TripRow]]:
        """Return up to `limit` trips, that of the session with the newest activity first, each with its place.

        Args:
            user_ids: The owners.
            wanted: Which trips.
            limit: The most there may be.
            before: Where the page before it ended.
            spoken: When each session was spoken in last, read before.
        """
        async with reading(self._pool, *user_ids) as db:
            rows = await _rows(db, await keys_of_users(db, user_ids, wanted, limit, before, spoken=spoken))
        return [(_place(row), _trip_row(row)) for row in map(dict, rows)]

    async def count(
        self, user_ids: Sequence[str], projects: Projects, spoken: Sequence[Spoken]
    ) -> Counter[tuple[TripStatus, str]]:
        """Count what `page` would list without a filter, by status and step."""
        wanted = TripFilter(projects=projects)
        async with reading(self._pool, *user_ids) as db:
            rows = await db.fetch(COUNTED, *owned(user_ids, wanted, spoken))
        return Counter({(row["status"], row["step"]): row["number"] for row in rows})

    async def page_of_all(
        self, wanted: TripFilter, limit: int, before: Place | None = None
    ) -> list[tuple[Place, TripRow]]:
        """Return the same of all users, as far as it is stored; for the administrators' role."""
        async with reading(self._pool, first=BY_INDEX) as db:
            rows = await _rows(db, await keys_of_all(db, wanted, limit, before))
        return [(_place(row), _trip_row(row)) for row in map(dict, rows)]

    async def count_of_all(self) -> tuple[Counter[tuple[TripStatus, str]], bool]:
        """Count the trips of all users, and tell whether these are all; for the administrators' role."""
        async with reading(self._pool, first=BY_INDEX) as db:
            counts = await count_of_all(db)
        return counts, counts.total() < MOST_COUNTED

    async def find(self, user_ids: Sequence[str], wanted: TripFilter, spoken: Sequence[Spoken] = ()) -> Trip | None:
        """Return the first such trip in that order, whole; None where these users have none."""
        async with reading(self._pool, *user_ids) as db:
            rows = await _rows(db, await keys_of_users(db, user_ids, wanted, 1, None, spoken=spoken))
            if not rows:
                return None
            row = dict(rows[0])
            return await whole_trip(db, row["trip_id"], _trip_row(row), _route(row))

    async def order(self, user_ids: Sequence[str], promised_trip_id: UUID) -> PlacedOrder | None:
        """Return what became of these users' order that was promised this id; None where none is stored."""
        async with reading(self._pool, *user_ids) as db:
            row = await db.fetchrow(
                """
                SELECT r.request_id, r.promised_trip_id, r.trip_id, r.user_id, r.session_id, r.segments, r.pax,
                    r.criteria, r.reference, r.state, r.code, r.error, r.event_id, r.created_at,
                    coalesce(c.message_count, 0) AS message_count
                FROM workflow.requests r LEFT JOIN chat.sessions c USING (user_id, session_id)
                WHERE r.promised_trip_id = $1 AND r.user_id = ANY ($2) AND c.deleted_at IS NULL
                """,
                promised_trip_id,
                list(user_ids),
            )
        return None if row is None else PlacedOrder(**row)

    async def has_settled(self, user_ids: Sequence[str], event: TripChanged) -> bool:
        """Tell whether each field of a change is its own, or a newer one's."""
        async with reading(self._pool, *user_ids) as db:
            stamps = await db.fetchval("SELECT field_stamps FROM workflow.trips WHERE trip_id = $1", event.trip_id)
        return stamps is not None and all(stamps.get(name, []) >= event.stamp for name in event.changed)

    async def held_by_others(self, user_ids: Sequence[str], reference: str, projects: Projects = None) -> bool:
        """Tell whether others have this trip and these users have not; for the administrators' role, which sees all.

        Of a caller who is limited to projects, what the user has in other sessions than theirs is others'.
        """
        async with reading(self._pool) as db:
            held = await db.fetchval(
                """
                SELECT coalesce(bool_and(s.user_id <> ALL ($1)
                    OR ($3::text[] IS NOT NULL AND coalesce(c.project_id <> ALL ($3), true))), false)
                FROM workflow.trips t JOIN workflow.trip_sessions s USING (trip_id)
                LEFT JOIN chat.sessions c USING (user_id, session_id)
                WHERE (t.avinode_trip_id = $2 OR t.trip_code = $2) AND s.deleted_at IS NULL
                """,
                list(user_ids),
                reference,
                projects,
            )
        return bool(held)


async def _rows(db: Connection, keys: Sequence[asyncpg.Record]) -> list[asyncpg.Record]:
    """Look up what was chosen before: at once, row-level security makes the planner read all of `trips`.

    Why nobody calls Avinode is the problem of every trip that waits for that: to be created, or to be read again.
    """
    return await db.fetch(
        f"""
        SELECT s.user_id, s.session_id, s.request_id, s.started_at, s.ended_at, key.place_at, key.spoken_at, t.*,
            coalesce(held.refusal, t.error) AS problem, now() AS now, coalesce(c.message_count, 0) AS message_count,
            c.title AS conversation_subject, coalesce(t.primary_quote_id, standing.quote_id) AS shown_quote_id,
            q.price_cents, q.currency, r.operator_name, l.aircraft_type,
            coalesce(q.rfq_id, (SELECT rfq_id FROM workflow.rfqs f WHERE f.trip_id = t.trip_id
                ORDER BY f.created_at, f.rfq_id LIMIT 1)) AS rfq_id,
            (SELECT p.proposal_id FROM workflow.proposals p WHERE p.trip_id = t.trip_id
                ORDER BY p.prepared_at DESC LIMIT 1) AS proposal_id
        FROM unnest($1::text[], $2::text[], $3::uuid[], $4::timestamptz[], $5::timestamptz[])
            WITH ORDINALITY AS key (user_id, session_id, trip_id, place_at, spoken_at, number)
        JOIN workflow.trip_sessions s USING (user_id, session_id, trip_id)
        JOIN workflow.trips t USING (trip_id)
        LEFT JOIN workflow.avinode_status held ON held.held_until > now() AND t.closed_at IS NULL AND (
            EXISTS (SELECT FROM workflow.requests o WHERE o.trip_id = t.trip_id AND o.state = 'intended')
            OR (t.due_at <= now() AND (t.avinode_trip_id IS NOT NULL OR t.trip_code IS NOT NULL)))
        LEFT JOIN chat.sessions c USING (user_id, session_id)
        LEFT JOIN LATERAL ({FIRST_STANDING}) standing ON t.primary_quote_id IS NULL
        LEFT JOIN workflow.quotes q ON q.quote_id = coalesce(t.primary_quote_id, standing.quote_id)
        LEFT JOIN workflow.rfqs r ON r.rfq_id = q.rfq_id
        LEFT JOIN workflow.lifts l ON l.lift_id = q.lift_id
        WHERE t.trip_id = ANY ($3)
        ORDER BY key.number
        """,  # noqa: S608 - a constant of this folder
        [key["user_id"] for key in keys],
        [key["session_id"] for key in keys],
        [key["trip_id"] for key in keys],
        [key["place_at"] for key in keys],
        [key["spoken_at"] for key in keys],
    )


def _place(row: Mapping[str, Any]) -> Place:
    return row["place_at"], key_of(row["trip_id"], row["session_id"], row["user_id"])


def _route(row: Mapping[str, Any]) -> list[Segment]:
    return [Segment.model_validate(segment) for segment in row["route"]]


def _trip_row(row: Mapping[str, Any]) -> TripRow:
    route = _route(row)
    last_activity_at = max(row["last_activity_at"], row["spoken_at"] or row["last_activity_at"])
    derived = {
        "id": row["trip_id"],
        "conversation_id": row["session_id"],
        "iso_agent_id": row["user_id"],
        "status": status_of(
            outcome=row["outcome"],
            completed_at=row["proposal_sent_at"] or row["closed_at"],
            last_activity_at=last_activity_at,
            paused_at=row["paused_at"],
            now=row["now"],
        ),
        "current_step": row["step"],
        "avinode_rfq_id": row["rfq_id"],
        "primary_quote_id": row["shown_quote_id"],
        "departure_airport": route[0].from_icao if route else None,
        "arrival_airport": route[-1].to_icao if route else None,
        "departure_date": route[0].date if route else None,
        "session_started_at": row["started_at"],
        "session_ended_at": row["ended_at"],
        "last_activity_at": last_activity_at,
    }
    return TripRow.model_validate({**row, **derived})

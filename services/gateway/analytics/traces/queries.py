"""Read chat.traces, united with the turns that are not stored: what models were asked, and what came of it."""

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from services.gateway.account.projects import Projects
from services.gateway.analytics.traces.filters import RUNNING, TraceFilter, Whose
from services.gateway.analytics.traces.keys import PLANNED_BY_VALUES, Key, trace_keys
from services.gateway.analytics.traces.known import Known, KnownSession, KnownTrace
from services.gateway.analytics.traces.places import OVER, order_of, part_of, place_of
from services.gateway.analytics.traces.record import Links, Trace, WholeTrace
from services.gateway.analytics.traces.turns import ended_traces, running_traces
from services.gateway.deletion.hidden import is_shown
from services.gateway.http.requests.cursors import Place
from shared.database import Connection, Pool, reading
from shared.events import ReportedTrace

_ROWS = """
    SELECT t.*, coalesce(t.session_tag, g.session_tag) AS tag,
        coalesce(t.experiment_name, s.experiment_name, g.experiment_name, m.name) AS experiment
    FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS key (user_id, trace_id, number)
    CROSS JOIN LATERAL (SELECT * FROM chat.traces own
        WHERE own.user_id = key.user_id AND own.trace_id = key.trace_id OFFSET 0) t
    LEFT JOIN LATERAL (SELECT own.experiment_name FROM chat.sessions own
        WHERE own.user_id = t.user_id AND own.session_id = t.session_id OFFSET 0) s ON true
    LEFT JOIN LATERAL (SELECT own.* FROM tagging.session_tags own
        WHERE own.user_id = t.user_id AND own.session_id = t.session_id AND own.deleted_at IS NULL OFFSET 0) g ON true
    LEFT JOIN tagging.models m USING (model_id)
    ORDER BY key.number
"""
_KNOWN = """
    SELECT own.* FROM unnest($2::text[]) AS wanted (trace_id) CROSS JOIN LATERAL (
        SELECT t.trace_id, t.source, t.rank, t.accepted_at FROM chat.traces t
        WHERE t.user_id = $1 AND t.trace_id = wanted.trace_id OFFSET 0) own
"""
_KNOWN_SESSIONS = """
    SELECT wanted.session_id, s.project_id, coalesce(s.analytics, true) AS analytics,
        s.deleted_at IS NOT NULL OR d.user_id IS NOT NULL AS deleted
    FROM unnest($2::text[]) AS wanted (session_id)
    LEFT JOIN LATERAL (SELECT * FROM chat.sessions own
        WHERE own.user_id = $1 AND own.session_id = wanted.session_id OFFSET 0) s ON true
    LEFT JOIN gateway.deletions d ON (d.user_id, d.session_id) = ($1, wanted.session_id)
"""
_SEEN = f"""
    SELECT t.user_id, t.trace_id
    FROM unnest($1::text[]) WITH ORDINALITY AS owner (user_id, number) CROSS JOIN LATERAL (
        SELECT * FROM chat.traces own WHERE own.user_id = owner.user_id AND own.trace_id = $2 OFFSET 0) t
    WHERE ($3::text[] IS NULL OR EXISTS (SELECT FROM chat.sessions s
            WHERE s.user_id = t.user_id AND s.session_id = t.session_id AND s.project_id = ANY ($3)))
        AND (NOT $4::boolean OR {is_shown("t", "coalesce(t.accepted_at, t.started_at)")})
    ORDER BY owner.number LIMIT 1
"""  # noqa: S608 - a constant of this module
_AROUND = """
    SELECT (SELECT q.parent_id FROM chat.messages q
            WHERE q.user_id = $1 AND q.session_id = $2 AND q.message_id = $3) AS question_id,
        (SELECT o.trip_id FROM workflow.trip_sessions o
            WHERE o.user_id = $1 AND o.session_id = $2 AND o.deleted_at IS NULL
            ORDER BY o.open DESC, o.started_at DESC LIMIT 1) AS trip_id,
        EXISTS (SELECT FROM chat.sessions s
            WHERE s.user_id = $1 AND s.session_id = $2 AND s.deleted_at IS NULL) AS is_stored
"""


class TraceQueries:
    """A user reads their own traces by one role, an administrator everybody's by the other."""

    def __init__(self, pool: Pool, admin: Pool) -> None:
        self._pool = pool
        self._admin = admin

    async def page(
        self, whose: Whose, wanted: TraceFilter, limit: int, before: Place | None
    ) -> list[tuple[Place, Trace]]:
        """Return up to `limit` traces, first those that run and then the others, each part the newest first.

        Args:
            whose: The owners.
            wanted: Which.
            limit: The most there may be.
            before: Where the page before it ended.
        """
        part, place = part_of(before)
        async with self._reading(whose) as db:
            running: list[Trace] = []
            if part == RUNNING and wanted.status in (None, RUNNING):
                running = await self._running(db, whose, wanted, limit, place)
            over: list[Trace] = []
            if len(running) < limit and wanted.status != RUNNING:
                from_place = place if part == OVER else None
                over = await self._over(db, whose, wanted, limit - len(running), from_place)
        ended = {_key(trace) for trace in over}  # one that has ended since what runs was read
        running = [trace for trace in running if _key(trace) not in ended]
        return [
            *((place_of(RUNNING, trace), trace) for trace in running),
            *((place_of(OVER, each), each) for each in over),
        ]

    async def _running(
        self, db: Connection, whose: Whose, wanted: TraceFilter, limit: int, place: Place | None
    ) -> list[Trace]:
        turns = [trace for trace, _ in await running_traces(db, whose, wanted)]
        told = await _stored(db, await trace_keys(db, whose, wanted, limit, place, running=True))
        both = sorted([*turns, *told], key=order_of, reverse=True)
        return [trace for trace in both if place is None or order_of(trace) < place][:limit]

    async def _over(
        self, db: Connection, whose: Whose, wanted: TraceFilter, limit: int, place: Place | None
    ) -> list[Trace]:
        """Return what is over: what is not stored yet has the place among the others that it will keep."""
        told = [trace for trace, _ in await ended_traces(db, whose, wanted, place)]
        by_now = {_key(trace) for trace in await _stored(db, [_key(trace) for trace in told])}
        stored = await _stored(db, await trace_keys(db, whose, wanted, limit, place))
        by_now |= {_key(trace) for trace in stored}  # some since that look
        both = [*stored, *(trace for trace in told if _key(trace) not in by_now)]
        return sorted(both, key=order_of, reverse=True)[:limit]

    async def find(self, whose: Whose, trace_id: str, projects: Projects = None) -> WholeTrace | None:
        """Return one trace of these users with what it is about; None where they have none of this id."""
        wanted = TraceFilter(projects=projects)
        async with self._reading(whose) as db:
            for trace, question_id in await running_traces(db, whose, wanted):
                if trace.trace_id == trace_id:
                    return await _whole(db, trace, {}, question_id)
            ended = await ended_traces(db, whose, wanted)
            asked = None if projects is None else list(projects)
            keys = await db.fetch(_SEEN, list(whose.user_ids), trace_id, asked, whose.as_admin)
            if not keys:
                told = next((each for each in ended if each[0].trace_id == trace_id), None)
                return await _whole(db, told[0], {}, told[1]) if told else None
            (row,) = await db.fetch(_ROWS, *_columns([(key["user_id"], key["trace_id"]) for key in keys]))
            return await _whole(db, _trace_of(row), row["attributes"])

    async def known(self, user_id: str, told: Sequence[ReportedTrace]) -> Known:
        """Return what is stored of these traces of one user and of their sessions, and the time."""
        trace_ids = list(dict.fromkeys(each.trace_id for each in told))
        session_ids = list(dict.fromkeys(each.session_id for each in told if each.session_id is not None))
        async with reading(self._pool, user_id) as db:
            traces = await db.fetch(_KNOWN, user_id, trace_ids)
            sessions = await db.fetch(_KNOWN_SESSIONS, user_id, session_ids)
            at = await db.fetchval("SELECT clock_timestamp()")
        return Known(
            at,
            {row["trace_id"]: KnownTrace(row["source"], row["rank"], row["accepted_at"]) for row in traces},
            {row["session_id"]: KnownSession(row["project_id"], row["analytics"], row["deleted"]) for row in sessions},
        )

    def _reading(self, whose: Whose) -> Any:
        if whose.as_admin:
            return reading(self._admin, first=PLANNED_BY_VALUES)
        return reading(self._pool, *whose.user_ids, first=PLANNED_BY_VALUES)


async def _stored(db: Connection, keys: Sequence[Key]) -> list[Trace]:
    return [_trace_of(row) for row in await db.fetch(_ROWS, *_columns(keys))] if keys else []


async def _whole(
    db: Connection, trace: Trace, attributes: Mapping[str, Any], question_id: str | None = None
) -> WholeTrace:
    row = await db.fetchrow(_AROUND, trace.user_id, trace.session_id, trace.message_id)
    assert row is not None  # noqa: S101 - it reads no table
    session = f"/api/chat/sessions/{trace.session_id}" if row["is_stored"] or question_id else None
    return WholeTrace(
        **trace.model_dump(),
        question_id=question_id or row["question_id"],
        trip_id=row["trip_id"],
        attributes=dict(attributes),
        links=Links(
            session=session,
            messages=session and f"{session}/messages",
            trip=f"/api/trips/{row['trip_id']}" if row["trip_id"] else None,
        ),
    )


def _trace_of(row: asyncpg.Record) -> Trace:
    values = {name: row[name] for name in Trace.model_fields if name != "hung"}
    cost = None if row["cost"] is None else f"{row['cost']:f}"
    return Trace.model_validate(
        {**values, "cost": cost, "session_tag": row["tag"], "experiment_name": row["experiment"]}
    )


def _key(trace: Trace) -> Key:
    return trace.user_id, trace.trace_id


def _columns(keys: Sequence[Key]) -> tuple[list[str], list[str]]:
    return [user_id for user_id, _ in keys], [trace_id for _, trace_id in keys]

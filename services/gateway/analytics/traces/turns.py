"""Read gateway.turns: which calls of models run, those included whose gateway is gone, and which are not stored yet."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg

from services.gateway.analytics.traces.filters import TraceFilter, Whose
from services.gateway.analytics.traces.record import Trace
from services.gateway.deletion.hidden import is_shown
from services.gateway.http.requests.cursors import Place
from services.gateway.turns.turn import recorded_trace_id
from shared.database import Connection
from shared.ids import answer_id

MOST = 1000  # turns that are looked at, the newest: of those that run at once, and of those that are not stored
# A call begins after its question was accepted, but by a gateway's clock, not the database's.
CLOCKS_DIFFER = timedelta(minutes=5)

_SESSION = "coalesce(s.experiment_name, g.experiment_name, m.name) AS experiment_name, g.session_tag"
# A session that is not stored yet has its project and its switch in its first turn or its opening.
_OF_SESSION = f"""
    LEFT JOIN LATERAL (SELECT * FROM chat.sessions own
        WHERE own.user_id = t.user_id AND own.session_id = t.session_id OFFSET 0) s ON true
    LEFT JOIN LATERAL (SELECT * FROM tagging.session_tags own
        WHERE own.user_id = t.user_id AND own.session_id = t.session_id AND own.deleted_at IS NULL OFFSET 0) g ON true
    LEFT JOIN tagging.models m USING (model_id)
    LEFT JOIN LATERAL (SELECT bool_and(coalesce((o.opening ->> 'analytics')::boolean, true)) AS analytics
        FROM gateway.session_openings o
        WHERE s.session_id IS NULL AND o.user_id = t.user_id AND o.session_id = t.session_id) o ON true
    WHERE coalesce(s.analytics, o.analytics, true)
        AND (NOT $6::boolean OR {is_shown("t", "t.asked_at")})
        AND ($3::text IS NULL OR (g.session_tag >= $3 AND g.session_tag < $4))
        AND ($5::text[] IS NULL
            OR CASE WHEN s.session_id IS NULL THEN t.project_id ELSE s.project_id END = ANY ($5))
"""  # noqa: S608 - a constant of this module
_WHOSE = "(cardinality($1::text[]) = 0 OR t.user_id = ANY ($1)) AND ($2::text IS NULL OR t.session_id = $2)"
_RUNNING = f"""
    SELECT t.turn_id, t.attempt, t.user_id, t.session_id, t.provider, t.model, t.helper, t.asked_at, t.traceparent,
        t.question ->> 'message_id' AS question_id, t.lease_until < clock_timestamp() AS hung, {_SESSION}
    FROM gateway.turns t {_OF_SESSION} AND {_WHOSE} AND t.state = 'running'
        AND ($7::text IS NULL OR t.model = $7)
        AND ($8::timestamptz IS NULL OR t.asked_at >= $8)
        AND ($9::timestamptz IS NULL OR t.asked_at < $9)
    ORDER BY t.asked_at DESC LIMIT {MOST}
"""  # noqa: S608
# What an attempt said that is not stored stays in the row beside the next one.
_ENDED = f"""
    SELECT t.turn_id, t.user_id, t.session_id, t.helper, t.question ->> 'message_id' AS question_id, said.trace,
        {_SESSION}
    FROM (SELECT * FROM gateway.turns t
        WHERE {_WHOSE} AND t.stored_at IS NULL AND coalesce(t.answer, t.past) IS NOT NULL
            AND ($7::timestamptz IS NULL OR t.asked_at < $7)
            AND ($8::timestamptz IS NULL OR t.past IS NOT NULL
                OR jsonb_array_length(t.answer -> 'rounds') > 0  -- which began before its last one
                OR (t.answer #>> '{{trace,started_at}}')::timestamptz <= $8)
        ORDER BY t.asked_at DESC LIMIT {MOST}) t
    CROSS JOIN LATERAL (SELECT t.answer -> 'trace' UNION ALL
        SELECT jsonb_array_elements(t.answer -> 'rounds') UNION ALL
        SELECT each -> 'answer' -> 'trace' FROM jsonb_array_elements(t.past) AS each UNION ALL
        SELECT jsonb_array_elements(each -> 'answer' -> 'rounds') FROM jsonb_array_elements(t.past) AS each)
        AS said (trace)
    {_OF_SESSION} AND jsonb_typeof(said.trace) = 'object'
"""  # noqa: S608


async def running_traces(db: Connection, whose: Whose, wanted: TraceFilter) -> list[tuple[Trace, str]]:
    """Return what runs, each with the id of its question, in no order."""
    rows = await db.fetch(_RUNNING, *_arguments(whose, wanted), wanted.model, wanted.since, wanted.until)
    found = [(_running(row), row["question_id"]) for row in rows]
    if wanted.w3c_trace_id is not None:
        return [(trace, question) for trace, question in found if trace.w3c_trace_id == wanted.w3c_trace_id]
    return found


async def ended_traces(
    db: Connection, whose: Whose, wanted: TraceFilter, before: Place | None = None
) -> list[tuple[Trace, str]]:
    """Return what is over and was not seen to be stored yet, each with the id of its question, in no order.

    Some of it may be stored by now; what is, says more.

    Args:
        db: Read before what is stored, or something is in neither.
        whose: The owners.
        wanted: Which.
        before: The place in the list that they come after.
    """
    ends = [at for at in (wanted.until, before[0] if before else None) if at is not None]
    rows = await db.fetch(
        _ENDED,
        *_arguments(whose, wanted),
        min(ends) + CLOCKS_DIFFER if ends else None,
        before[0] if before else None,  # what a page before has shown takes no room of the newest
    )
    found = [(_ended(row), row["question_id"]) for row in rows]
    return [
        (trace, question)
        for trace, question in found
        if _fits(trace, wanted) and (before is None or (trace.started_at, trace.trace_id) < before)
    ]


def _fits(trace: Trace, wanted: TraceFilter) -> bool:
    return (
        wanted.status in (None, trace.status)
        and wanted.model in (None, trace.model)
        and wanted.w3c_trace_id in (None, trace.w3c_trace_id)
        and (wanted.since is None or trace.started_at >= wanted.since)
        and (wanted.until is None or trace.started_at < wanted.until)
    )


def _arguments(whose: Whose, wanted: TraceFilter) -> Sequence[Any]:
    tags = wanted.tags
    return (
        list(whose.user_ids),
        wanted.session_id,
        *((tags.first, tags.before) if tags else (None, None)),
        None if wanted.projects is None else list(wanted.projects),
        whose.as_admin,
    )


def _running(row: Mapping[str, Any] | asyncpg.Record) -> Trace:
    message_id = str(answer_id(row["turn_id"], row["attempt"]))
    return Trace(
        trace_id=message_id,
        user_id=row["user_id"],
        session_id=row["session_id"],
        session_tag=row["session_tag"],
        experiment_name=row["experiment_name"],
        status="running",
        hung=row["hung"],
        provider=row["provider"],
        model=row["model"],
        helper=row["helper"],
        started_at=row["asked_at"],
        w3c_trace_id=recorded_trace_id(row["traceparent"]),
        message_id=message_id,
        turn_id=row["turn_id"],
    )


def _ended(row: Mapping[str, Any] | asyncpg.Record) -> Trace:
    told = row["trace"]
    of_turn = {name: row[name] for name in ("user_id", "session_id", "session_tag", "experiment_name", "helper")}
    started_at = datetime.fromisoformat(told["started_at"])
    cost = None if told.get("cost") is None else f"{Decimal(told['cost']):f}"
    about = {"message_id": told["trace_id"], "turn_id": row["turn_id"], "started_at": started_at, "cost": cost}
    return Trace.model_validate({**told, **of_turn, **about})

"""Read gateway.turns: which calls of models run at the moment, those included whose gateway is gone."""

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from services.gateway.analytics.filters import TraceFilter, Whose
from services.gateway.analytics.record import Trace
from services.gateway.turns.turn import recorded_trace_id
from shared.database import Connection
from shared.ids import answer_id

MOST = 1000  # turns that run at once, which are looked at

# A session that is not stored yet has its project and its switch in its first turn or its opening.
_RUNNING = f"""
    SELECT t.turn_id, t.attempt, t.user_id, t.session_id, t.provider, t.model, t.helper, t.asked_at, t.traceparent,
        t.question ->> 'message_id' AS question_id, t.lease_until < clock_timestamp() AS hung, g.session_tag,
        coalesce(s.experiment_name, g.experiment_name, m.name) AS experiment_name
    FROM gateway.turns t
    LEFT JOIN LATERAL (SELECT * FROM chat.sessions own
        WHERE own.user_id = t.user_id AND own.session_id = t.session_id OFFSET 0) s ON true
    LEFT JOIN LATERAL (SELECT * FROM tagging.session_tags own
        WHERE own.user_id = t.user_id AND own.session_id = t.session_id AND own.deleted_at IS NULL OFFSET 0) g ON true
    LEFT JOIN tagging.models m USING (model_id)
    LEFT JOIN LATERAL (SELECT bool_and(coalesce((o.opening ->> 'analytics')::boolean, true)) AS analytics
        FROM gateway.session_openings o
        WHERE s.session_id IS NULL AND o.user_id = t.user_id AND o.session_id = t.session_id) o ON true
    WHERE t.state = 'running' AND (cardinality($1::text[]) = 0 OR t.user_id = ANY ($1))
        AND coalesce(s.analytics, o.analytics, true)
        AND ($2::text IS NULL OR t.session_id = $2)
        AND ($3::text IS NULL OR t.model = $3)
        AND ($4::timestamptz IS NULL OR t.asked_at >= $4)
        AND ($5::timestamptz IS NULL OR t.asked_at < $5)
        AND ($6::text IS NULL OR (g.session_tag >= $6 AND g.session_tag < $7))
        AND ($8::text[] IS NULL OR coalesce(s.project_id, t.project_id) = ANY ($8))
    ORDER BY t.asked_at DESC LIMIT {MOST}
"""  # noqa: S608 - a constant of this module


async def running_traces(db: Connection, whose: Whose, wanted: TraceFilter) -> list[tuple[Trace, str]]:
    """Return what runs, each with the id of its question, in no order."""
    rows = await db.fetch(_RUNNING, list(whose.user_ids), *_arguments(wanted))
    found = [(_trace_of(row), row["question_id"]) for row in rows]
    if wanted.w3c_trace_id is not None:
        return [(trace, question) for trace, question in found if trace.w3c_trace_id == wanted.w3c_trace_id]
    return found


def _arguments(wanted: TraceFilter) -> Sequence[Any]:
    tags = wanted.tags
    return (
        wanted.session_id,
        wanted.model,
        wanted.since,
        wanted.until,
        *((tags.first, tags.before) if tags else (None, None)),
        None if wanted.projects is None else list(wanted.projects),
    )


def _trace_of(row: Mapping[str, Any] | asyncpg.Record) -> Trace:
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

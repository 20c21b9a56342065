"""The rows of chat.traces that applications outside tell of; those of turns are stored with their answers."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from services.logger.reducing.reduction import TraceKey
from services.logger.reducing.reports import OUTSIDE, Report, report_row, reports_of
from services.logger.rows.erasing import erased_among, not_erased
from services.logger.rows.spelled import as_json
from shared.database import Connection
from shared.events import TracesReported

# The greater version says what is so; what it leaves out the other one says.
_SAID = ("model", "status", "started_at", "source", "rank", "accepted_at", "event_id")
_FILLED = (
    *("session_id", "session_tag", "experiment_name", "helper", "provider", "upstream", "ttft_ms", "duration_ms"),
    *("input_tokens", "output_tokens", "usage_source", "finish_reason", "error", "error_class", "w3c_trace_id", "cost"),
)
_IS_NEWER = "(known.rank, known.accepted_at, known.event_id) < (excluded.rank, excluded.accepted_at, excluded.event_id)"


def _either(name: str, newer: str, older: str) -> str:
    return f"{name} = CASE WHEN {_IS_NEWER} THEN {newer} ELSE {older} END"


_SET = ",\n        ".join(
    [_either(name, f"excluded.{name}", f"known.{name}") for name in _SAID]
    + [
        _either(name, f"coalesce(excluded.{name}, known.{name})", f"coalesce(known.{name}, excluded.{name})")
        for name in _FILLED
    ]
    + [
        _either("attributes", "known.attributes || excluded.attributes", "excluded.attributes || known.attributes"),
        _either(  # with the cost, whose it is
            "currency",
            "CASE WHEN excluded.cost IS NULL THEN known.currency ELSE excluded.currency END",
            "CASE WHEN known.cost IS NULL THEN excluded.currency ELSE known.currency END",
        ),
    ]
)
# Of a session that was deleted, or whose analytics are off, nothing is kept. A turn's own trace is no other's.
_STORE = f"""
    INSERT INTO chat.traces AS known (user_id, trace_id, source, w3c_trace_id, session_id, session_tag,
        experiment_name, helper, provider, model, upstream, status, started_at, ttft_ms, duration_ms, input_tokens,
        output_tokens, usage_source, finish_reason, error, error_class, streaming, cost, currency, attributes,
        revision, rank, accepted_at, event_id)
    SELECT told.* FROM json_to_recordset($1) AS told (user_id text, trace_id text, source text, w3c_trace_id text,
        session_id text, session_tag text, experiment_name text, helper text, provider text, model text,
        upstream text, status text, started_at timestamptz, ttft_ms float8, duration_ms float8, input_tokens int,
        output_tokens int, usage_source text, finish_reason text, error text, error_class text, streaming bool,
        cost numeric, currency text, attributes jsonb, revision int, rank smallint, accepted_at timestamptz,
        event_id uuid)
    WHERE NOT EXISTS (SELECT FROM chat.sessions s
        WHERE s.user_id = told.user_id AND s.session_id = told.session_id
            AND (s.deleted_at IS NOT NULL OR NOT s.analytics))
    ORDER BY told.user_id, told.trace_id
    ON CONFLICT (user_id, trace_id) DO UPDATE SET
        streaming = known.streaming OR excluded.streaming,
        stored_at = excluded.stored_at,
        {_SET}
        WHERE known.revision = {OUTSIDE} AND known.event_id <> excluded.event_id
"""  # noqa: S608 - constants of this module


async def store_reports(db: Connection, events: Sequence[TracesReported]) -> None:
    """Keep what is told, but for what was accepted before its user was erased; safe to repeat, in any order."""
    erased = await erased_among(db, events)
    reports = reports_of(not_erased(events, erased))
    if erased:
        await _forget_older(db, reports, erased)
    await db.execute(_STORE, as_json(report_row(key, report) for key, report in reports.items()))


async def _forget_older(db: Connection, reports: Mapping[TraceKey, Report], erased: Mapping[str, datetime]) -> None:
    """Let go what was told of the same traces before their users were erased: it must not live on in these."""
    older = [key for key in reports if key[0] in erased]
    await db.execute(
        """
        DELETE FROM chat.traces t USING unnest($1::text[], $2::text[], $3::timestamptz[]) AS o (user_id, trace_id, at)
        WHERE t.user_id = o.user_id AND t.trace_id = o.trace_id AND coalesce(t.accepted_at, t.started_at) <= o.at
        """,
        [user_id for user_id, _ in older],
        [trace_id for _, trace_id in older],
        [erased[user_id] for user_id, _ in older],
    )

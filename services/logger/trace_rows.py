"""The rows of chat.traces: one call of a model, told with its answer."""

from collections.abc import Sequence
from typing import Any

from services.logger.reduction import version_of
from shared.database import Connection
from shared.events import MessageAnswered, Trace


async def keep_traces(db: Connection, traces: Sequence[tuple[MessageAnswered, Trace]]) -> None:
    """Insert traces, and replace lesser versions of them."""
    await db.execute(
        """
        INSERT INTO chat.traces AS trace (user_id, trace_id, session_id, message_id, turn_id, revision, rank, event_id,
            provider, model, status, started_at, ttft_ms, duration_ms, input_tokens, output_tokens, usage_source,
            finish_reason, error, streaming)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::int[], $7::smallint[],
            $8::uuid[], $9::text[], $10::text[], $11::text[], $12::timestamptz[], $13::float8[], $14::float8[],
            $15::int[], $16::int[], $17::text[], $18::text[], $19::text[], $20::bool[]) AS made (user_id, trace_id)
        ORDER BY user_id, trace_id
        ON CONFLICT (user_id, trace_id) DO UPDATE SET
            session_id = excluded.session_id, message_id = excluded.message_id, turn_id = excluded.turn_id,
            revision = excluded.revision, rank = excluded.rank, event_id = excluded.event_id,
            provider = excluded.provider, model = excluded.model, status = excluded.status,
            started_at = excluded.started_at, ttft_ms = excluded.ttft_ms, duration_ms = excluded.duration_ms,
            input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens,
            usage_source = excluded.usage_source, finish_reason = excluded.finish_reason, error = excluded.error,
            streaming = excluded.streaming, stored_at = excluded.stored_at
            WHERE (excluded.revision, excluded.rank) > (trace.revision, trace.rank)
        """,
        *zip(*(_row(event, trace) for event, trace in traces), strict=True),
    )


def _row(event: MessageAnswered, trace: Trace) -> tuple[Any, ...]:
    return (
        event.user_id,
        trace.trace_id,
        event.session_id,
        event.message_id,
        event.turn_id,
        *version_of(event),
        event.event_id,
        trace.provider,
        trace.model,
        trace.status,
        trace.started_at,
        trace.ttft_ms,
        trace.duration_ms,
        trace.input_tokens,
        trace.output_tokens,
        trace.usage_source,
        trace.finish_reason,
        trace.error,
        trace.streaming,
    )

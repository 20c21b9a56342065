"""Events as rows, in the order of the columns that `store.py` names. Pure."""

from collections.abc import Sequence
from typing import Any

import orjson

from services.logger.reduction import SessionStep, role_of, version_of
from services.logger.titles import preview_of
from shared.errors import Unstorable
from shared.events import Json, MessageAnswered, MessageEvent, MessagePosted, Trace

MESSAGE_COLUMNS = 17
SESSION_COLUMNS = 12
TRACE_COLUMNS = 20


def message_row(event: MessageEvent) -> tuple[Any, ...]:
    """Spell a message.

    Raises:
        Unstorable: Its parts can't be JSON.
    """
    posted = event if isinstance(event, MessagePosted) else None
    answer = event if isinstance(event, MessageAnswered) else None
    return (
        event.user_id,
        event.session_id,
        event.message_id,
        role_of(event),
        event.content,
        _json(event.parts),
        event.model,
        answer.status if answer else "complete",
        answer.error if answer else None,
        event.parent_id,
        posted.client_message_id if posted else None,
        event.turn_id,
        *version_of(event),
        event.event_id,
        event.created_at,
        event.metadata,
    )


def _json(parts: Sequence[Json]) -> str:
    """Spell a list as JSON here: asyncpg would take a list in an array for another dimension of the array."""
    try:
        return orjson.dumps(parts).decode()
    except TypeError as error:  # a number of more than 64 bits
        raise Unstorable(f"parts: {error}") from error


def session_row(step: SessionStep) -> tuple[Any, ...]:
    """Spell what a group changes about a session."""
    return (
        step.newest.user_id,
        step.newest.session_id,
        step.first_at,
        step.newest.created_at,
        step.newest.message_id,
        preview_of(step.newest.content),
        step.modelling.model if step.modelling else None,
        step.modelling.created_at if step.modelling else None,
        step.title,
        step.titling.created_at if step.titling else None,
        step.project_id,
        step.helper,
    )


def trace_row(event: MessageAnswered, trace: Trace) -> tuple[Any, ...]:
    """Spell the trace of an answer."""
    return (
        event.user_id,
        event.session_id,
        trace.trace_id,
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

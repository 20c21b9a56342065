"""Events as the rows that `store.py` sends: JSON with the columns' names. Pure."""

from collections.abc import Iterable

import orjson

from services.logger.reduction import SessionStep, role_of, version_of
from shared.errors import Unstorable
from shared.events import Json, MessageAnswered, MessageEvent, MessagePosted, Trace
from shared.preview import preview_of


def as_json(rows: Iterable[Json]) -> str:
    """Spell rows for `json_to_recordset`.

    Raises:
        Unstorable: A value can't be JSON, such as a number of more than 64 bits.
    """
    try:
        return orjson.dumps(list(rows)).decode()
    except TypeError as error:
        raise Unstorable(str(error)) from error


def message_row(event: MessageEvent) -> Json:
    posted = event if isinstance(event, MessagePosted) else None
    answer = event if isinstance(event, MessageAnswered) else None
    revision, rank = version_of(event)
    return {
        "user_id": event.user_id,
        "session_id": event.session_id,
        "message_id": event.message_id,
        "role": role_of(event),
        "content": event.content,
        "parts": event.parts,
        "model": event.model,
        "status": answer.status if answer else "complete",
        "error": answer.error if answer else None,
        "parent_id": event.parent_id,
        "client_message_id": posted.client_message_id if posted else None,
        "turn_id": event.turn_id,
        "revision": revision,
        "rank": rank,
        "event_id": event.event_id,
        "created_at": event.created_at,
        "metadata": event.metadata,
    }


def session_row(step: SessionStep) -> Json:
    newest, titling, modelling = step.newest, step.titling, step.modelling
    return {
        "user_id": newest.user_id,
        "session_id": newest.session_id,
        "first_at": step.first_at,
        "newest_at": newest.created_at,
        "newest_id": newest.message_id,
        "preview": preview_of(newest.content),
        "model": modelling.model if modelling else None,
        "model_at": modelling.created_at if modelling else None,
        "mixed": step.is_mixed,
        "title": step.title,
        "titled_at": titling.created_at if titling else None,
        "project_id": step.project_id,
        "helper": step.helper,
    }


def trace_row(event: MessageAnswered, trace: Trace) -> Json:
    revision, rank = version_of(event)
    return {
        "user_id": event.user_id,
        "session_id": event.session_id,
        "message_id": event.message_id,
        "turn_id": event.turn_id,
        "revision": revision,
        "rank": rank,
        "event_id": event.event_id,
        "helper": event.helper,
        "accepted_at": event.accepted,
        **dict(trace),  # its fields are named like the columns
        "cost": None if trace.cost is None else str(trace.cost),  # exactly
    }

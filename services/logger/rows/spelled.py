"""Events as the rows that `store.py` sends: JSON with the columns' names. Pure."""

from collections.abc import Iterable
from datetime import UTC, datetime

import orjson

from services.logger.reducing.reduction import SessionStep, role_of, version_of
from shared.errors import Unstorable
from shared.events import Client, Json, MessageAnswered, MessageEvent, MessagePosted, Trace
from shared.texts.preview import preview_of


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
    row: Json = {
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
    if answer and answer.conversation:
        row["conversation"] = answer.conversation
    if posted and posted.client:
        row["client"] = _kept(posted.client)
    return row


def session_row(step: SessionStep) -> Json:
    newest, titling, modelling = step.newest, step.titling, step.modelling
    row: Json = {
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
    if step.first_known and step.last_known:
        row["first_client"] = row["last_client"] = _client_at(step.last_known)
        if step.first_known is not step.last_known:
            row["first_client"] = _client_at(step.first_known)
    return row


def _kept(client: Client) -> Json:
    if client.user_agent is None:
        return {"address": client.address}
    return {"address": client.address, "user_agent": client.user_agent}


def _client_at(event: MessagePosted) -> list[datetime | str]:
    """Spell from where a message came so that the first of a session is the least, and the last is the greatest.

    JSON spells times so that they sort, of one zone.
    """
    at, client = event.created_at, event.client or Client()
    return [at.astimezone(UTC) if at.utcoffset() else at, client.address or "", client.user_agent or ""]


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

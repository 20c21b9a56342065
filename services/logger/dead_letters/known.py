"""What can be known of a message that nobody could process: anything may be in it, and nothing here may fail.

Our own consumers park with headers that say why (`consuming/parking.py`); the broker dead-letters what was rejected, or
delivered too often, with an `x-death` header; what a stranger put straight into `dead` has neither, and is kept too.
The body is never taken for an event: it is only looked at for whose it is, so that an erasure finds it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from services.logger.dead_letters.owners import accepted_in, read_fields, session_in
from shared.consuming.subscription import Delivery
from shared.consuming.unreadable import UNREADABLE
from shared.ids import NAMESPACE, derived_id
from shared.topology import DEAD_QUEUE

UNKNOWN = "unknown"
NAME_LENGTH = 255  # what AMQP allows a queue's name; the unique index would refuse much longer ones
DEPTH = 16  # of nested headers; nobody sends deeper ones for a reason

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A row of `chat.dead_letters`."""

    queue: str  # where it was refused, and where a replay sends it
    dedupe_key: str
    event_id: UUID | None
    event_name: str | None
    body: bytes
    headers: Json
    reason: str
    error: str
    user_id: str | None
    session_id: str | None = None
    accepted_at: datetime | None = None  # none: it does not say

    @property
    def dead_letter_id(self) -> UUID:
        return derived_id(NAMESPACE, f"dead/{self.queue}/{self.dedupe_key}")


def read_letter(delivery: Delivery) -> DeadLetter:
    """Read what the queue `dead` delivers."""
    return make_letter(delivery.body, delivery.headers, name=delivery.type, message_id=delivery.message_id)


def make_letter(body: bytes, headers: Mapping[str, object], *, name: str | None, message_id: str | None) -> DeadLetter:
    """Make the row for a message, from its body and what AMQP says about it."""
    known = read_fields(body)
    # The id inside, else the body itself: two different bodies that came with one message id are two letters.
    event_id = _uuid(known.get("event_id"))
    queue, reason, error = _why(headers)
    return DeadLetter(
        queue=queue[:NAME_LENGTH],
        dedupe_key=str(event_id) if event_id else sha256(body).hexdigest(),
        event_id=event_id or _uuid(message_id),
        event_name=_text(name),
        body=body,
        headers=storable(dict(headers)),
        reason=reason[:NAME_LENGTH],
        error=error,
        user_id=_text(known.get("user_id")),
        session_id=session_in(known),
        accepted_at=accepted_in(known),
    )


def _why(headers: Mapping[str, object]) -> tuple[str, str, str]:
    """Return the queue that refused the message, the reason's code, and the error in words."""
    death = _last_death(headers)
    if death is not None:
        # Whatever else it says was there before: the broker adds its word to the headers that it finds.
        reason = _text(death.get("reason")) or UNKNOWN
        return _text(death.get("queue")) or DEAD_QUEUE, reason, f"dead-lettered by the broker: {reason}"
    unreadable = _text(headers.get(UNREADABLE))
    error = f"its properties cannot be read: {unreadable}" if unreadable else "put straight into this queue"
    return (
        _text(headers.get("x-queue")) or DEAD_QUEUE,
        _text(headers.get("x-reason")) or UNKNOWN,
        _text(headers.get("x-error")) or error,
    )


def _last_death(headers: Mapping[str, object]) -> Mapping[str, object] | None:
    """Return the newest entry of the broker's own record, which comes first."""
    deaths = headers.get("x-death")
    newest = deaths[0] if isinstance(deaths, list) and deaths else None
    return newest if isinstance(newest, dict) else None


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _text(value: object) -> str | None:
    """Return a text that is one, and is not empty."""
    if isinstance(value, bytes | bytearray):
        value = value.decode("utf-8", "replace")
    return storable_text(value) if isinstance(value, str) and value else None


def storable_text(text: str) -> str:
    """Replace what a PostgreSQL text can't hold: NUL, and lone surrogates."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def storable(value: object, depth: int = DEPTH) -> Any:
    """Make of an AMQP header's value something that JSON and PostgreSQL can hold."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str | bytes | bytearray):
        return _text(value) or ""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict) and depth:
        return {storable_text(str(key)): storable(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple) and depth:
        return [storable(item, depth - 1) for item in value]
    return storable_text(str(value))

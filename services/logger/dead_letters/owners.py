"""Whose a dead letter is, as far as its bytes tell: what was deleted must not lie on among what was refused. Pure."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.ids import is_client_id

# No event of ours is nearly as large; what JSON of the size that a broker takes unfolds to would end the process.
LOOKED_INTO_BYTES = 8_000_000


@dataclass(frozen=True)
class Gone:
    """A deleted session of a user, or an erased user, with the moment."""

    user_id: str
    session_id: str | None = None
    erased_at: datetime | None = None

    def has(self, user_id: str | None, body: bytes, received_at: datetime) -> bool:
        """Tell whether a letter is of it.

        A letter that names its user is that user's. In one that can't be read an id counts as a whole JSON string,
        never as loose bytes: a user may be called `1`.

        Args:
            user_id: Whom the letter names; none: it can't be read, or names nobody.
            body: As it came.
            received_at: When it was parked.
        """
        if user_id is None:
            if not _says(body, self.user_id):
                return False
        elif user_id != self.user_id:
            return False
        if self.session_id is not None:
            return _says(body, self.session_id)
        if self.erased_at is None or received_at <= self.erased_at:
            return True
        return is_older(accepted_in(read_fields(body)), self.erased_at)


def is_older(accepted_at: datetime | None, erased_at: datetime) -> bool:
    """Tell whether what a user's letter holds was accepted before their erasure; one that does not say when is older.

    Each of our events says when, so only what can be no event is lost of somebody who goes on.
    """
    return accepted_at is None or accepted_at <= erased_at


def _says(body: bytes, text: str) -> bool:
    """Tell whether a body has this text as a JSON string of its own."""
    return any(spelling in body for spelling in spellings(text))


def spellings(text: str) -> list[bytes]:
    """Return the ways to write a text as a JSON string: as it is, and with escapes alone where that differs."""
    return sorted({json.dumps(text, ensure_ascii=is_ascii).encode() for is_ascii in (False, True)})


def read_fields(body: bytes) -> dict[str, Any]:
    """Read a body as JSON; nothing where it is no object, or too large to look into."""
    if len(body) > LOOKED_INTO_BYTES:
        return {}
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def session_in(fields: dict[str, Any]) -> str | None:
    """Return the session that a body names."""
    session_id = fields.get("session_id")
    return session_id if isinstance(session_id, str) and is_client_id(session_id) else None


def accepted_in(fields: dict[str, Any]) -> datetime | None:
    """Return when an event was accepted, as `accepted` of shared/events.py has it; None where its body does not say."""
    trace = fields.get("trace")
    started_at = trace.get("started_at") if isinstance(trace, dict) else None
    for value in (fields.get("accepted_at"), started_at, fields.get("created_at"), fields.get("occurred_at")):
        if isinstance(value, str):
            try:
                at = datetime.fromisoformat(value)
            except ValueError:
                continue
            if at.tzinfo is not None:
                return at
    return None

"""What callers may set of a session, and the events of that. Pure."""

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StringConstraints

from services.gateway.http.requests.fields import Json
from services.gateway.sessions.openings import Opening
from services.gateway.sessions.own_session import OwnSession
from shared.events import SessionChanged, SessionOpened

MOST_LABELS = 20
# Not only spaces, and without those around it.
Title = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255, pattern=r"^[^\x00]*[^\x00\s][^\x00]*$")
]
MetadataKey = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00]*$")]
MetadataText = Annotated[str, StringConstraints(max_length=512, pattern=r"^[^\x00]*$")]
Metadata = Annotated[dict[MetadataKey, MetadataText | StrictBool | StrictInt | StrictFloat], Field(max_length=16)]


def opened(opening: Opening, correlation_id: UUID) -> SessionOpened:
    """Make the event of an opening: of one opening always the same."""
    said: Json = opening.opening
    return SessionOpened(
        event_id=opening.event_id,
        correlation_id=correlation_id,
        user_id=opening.user_id,
        session_id=opening.session_id,
        accepted_at=opening.accepted_at,
        **said,
    )


def changed(own: OwnSession, patch: Mapping[str, Any], correlation_id: UUID) -> SessionChanged:
    """Make the event of a change: fields with their new values. It was accepted when the session was read."""
    accepted_at = own.facts.read_at
    assert accepted_at is not None  # noqa: S101 - whoever reads a session asks the database for the time
    return SessionChanged(
        correlation_id=correlation_id,
        user_id=own.user_id,
        session_id=own.facts.session_id,
        accepted_at=accepted_at,
        began_at=own.shown.created_at,
        changed=tuple(name for name in patch if name != "ended_at"),
        **patch,
    )

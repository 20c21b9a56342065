"""What callers may set of a session, and the events of that. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StringConstraints

from services.gateway.http.fields import Json
from services.gateway.sessions.openings import Opening
from shared.events import SessionChanged, SessionOpened
from shared.ids import new_id

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


def changed(
    user_id: str, session_id: str, patch: Mapping[str, Any], *, at: datetime, began_at: datetime, correlation_id: UUID
) -> SessionChanged:
    """Make the event of a patch.

    Args:
        user_id: The session's owner.
        session_id: Which.
        patch: Fields with their new values.
        at: When it was accepted, by the database's clock.
        began_at: When the session began, as far as is known.
        correlation_id: Of the request.
    """
    return SessionChanged(
        event_id=new_id(),
        correlation_id=correlation_id,
        user_id=user_id,
        session_id=session_id,
        accepted_at=at,
        began_at=began_at,
        changed=tuple(name for name in patch if name != "ended_at"),
        **patch,
    )

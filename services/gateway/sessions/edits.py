"""The events of what a caller does to a session beside speaking in it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from services.gateway.http.fields import Json
from shared.events import SessionChanged, SessionOpened
from shared.ids import NAMESPACE, derived_id, new_id, scoped


@dataclass(frozen=True)
class Accepted:
    """Which session an edit is of, and when it was accepted."""

    user_id: str
    session_id: str
    at: datetime  # by the database's clock
    correlation_id: UUID


def opened(accepted: Accepted, said: Json) -> SessionOpened:
    """Make the event of a creation: again the same, where it was accepted at the same moment.

    Args:
        accepted: What it is of.
        said: Fields of the event, as far as the caller named them.
    """
    name = f"opened/{scoped(accepted.user_id, accepted.session_id)}/{accepted.at.isoformat()}"
    return SessionOpened(
        event_id=derived_id(NAMESPACE, name),
        correlation_id=accepted.correlation_id,
        user_id=accepted.user_id,
        session_id=accepted.session_id,
        accepted_at=accepted.at,
        **said,
    )


def changed(accepted: Accepted, began_at: datetime, patch: Mapping[str, Any]) -> SessionChanged:
    """Make the event of a patch: fields with their new values."""
    return SessionChanged(
        event_id=new_id(),
        correlation_id=accepted.correlation_id,
        user_id=accepted.user_id,
        session_id=accepted.session_id,
        accepted_at=accepted.at,
        began_at=began_at,
        changed=tuple(patch),
        **patch,
    )


def ended(accepted: Accepted, began_at: datetime) -> SessionChanged:
    """Make the event of an end."""
    return changed(accepted, began_at, {}).model_copy(update={"ended_at": accepted.at})

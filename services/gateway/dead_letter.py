"""A message that could not be processed, as administrators see it: without its body, which may hold what users said."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import BaseModel

from services.gateway.schemas import Json


class DeadLetter(BaseModel):
    id: UUID
    queue: str  # where it was refused, and where a replay sends it
    event_id: UUID | None
    event_name: str | None
    reason: str
    error: str
    user_id: str | None
    state: str
    decided_by: str | None
    decided_at: datetime | None
    received_at: datetime
    size_bytes: int


@dataclass(frozen=True)
class Parked:
    """A dead letter whole, for a replay."""

    letter: DeadLetter
    body: bytes
    headers: Json

"""A notice that an outside system posted, as administrators see it; with its body only where one is asked for."""

from base64 import b64encode
from datetime import datetime
from typing import Literal, Self
from uuid import UUID

from pydantic import BaseModel

from services.gateway.admin.dead_letters.answers import as_text

State = Literal["due", "unmatched", "done", "refused", "ignored", "unreadable"]


class Delivery(BaseModel):
    id: UUID
    source: str
    event: str | None  # the last part of the path that it came by
    state: State
    reason: str | None  # why it is not done, or not yet
    href: str | None  # what it points at
    kind: str | None
    trip: (
        str | None
    )  # the trip's code or id at Avinode: as it says, and once it is done as that says which it points at
    attempts: int
    received_at: datetime
    worked_at: datetime | None
    due_at: datetime | None  # the next attempt; only of what is due or unmatched, and none where it waits for its trip
    reprocessed_by: str | None  # who last had it worked again
    reprocessed_at: datetime | None
    size_bytes: int


class WholeDelivery(Delivery):
    """With what came."""

    headers: dict[str, str]  # those that matter, never credentials
    body: str | None  # as text, where it is UTF-8
    body_base64: str | None  # byte by byte; none: administrators read no bodies here

    @classmethod
    def of(cls, delivery: Delivery, headers: dict[str, str], payload: bytes) -> Self:
        return cls(
            **delivery.model_dump(),
            headers=headers,
            body=as_text(payload),
            body_base64=b64encode(payload).decode(),
        )

    def without_body(self) -> Self:
        """Return the same without what came."""
        return self.model_copy(update={"headers": {}, "body": None, "body_base64": None})

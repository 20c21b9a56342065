"""A message that could not be processed, as administrators see it; with its body, which may hold what users said, only
where one is asked for.
"""

from base64 import b64encode
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import BaseModel

from services.gateway.http.requests.fields import Json
from shared.consuming.parking import send_back
from shared.errors import Conflict, NotFound
from shared.publishing.publisher import Publisher
from shared.topology import DEAD_QUEUE, QUEUES

# What came into `dead` without saying from where can only be dropped.
REPLAYABLE = {queue.name for queue in QUEUES} - {DEAD_QUEUE}


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
    arrivals: int  # how many copies came, redelivered ones too
    size_bytes: int


class WholeLetter(DeadLetter):
    """With what came; without, where administrators read no bodies."""

    headers: Json | None = None  # as the consumer or the broker left them
    body: str | None = None  # as text, where it is UTF-8
    body_base64: str | None = None  # byte by byte


@dataclass(frozen=True)
class Parked:
    """A dead letter whole, for a replay."""

    letter: DeadLetter
    body: bytes
    headers: Json

    def shown(self, *, whole: bool) -> WholeLetter:
        """Show it to an administrator, with its body or without."""
        known = self.letter.model_dump()
        if not whole:
            return WholeLetter(**known)
        return WholeLetter(
            **known, headers=self.headers, body=as_text(self.body), body_base64=b64encode(self.body).decode()
        )


def as_text(body: bytes) -> str | None:
    """Read a body as text, where it is one."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def found(parked: Parked | None) -> Parked:
    """Return what was looked for.

    Raises:
        NotFound: There is none of this id.
    """
    if parked is None:
        raise NotFound("There is no such dead letter.")
    return parked


def undecided(parked: Parked | None) -> Parked:
    """Return what was looked for, if there is something to decide about it.

    Raises:
        NotFound: There is none of this id.
        Conflict: It was replayed or dropped.
    """
    parked = found(parked)
    if parked.letter.state != "parked":
        raise Conflict(f"It was {parked.letter.state} by {parked.letter.decided_by}.", state=parked.letter.state)
    return parked


async def send_again(publisher: Publisher, parked: Parked) -> None:
    """Put a parked message back into the queue that refused it, as the same event.

    Raises:
        Conflict: No consumer would read it there.
        BrokerAway: It could not be.
    """
    letter = parked.letter
    if letter.queue not in REPLAYABLE:
        raise Conflict(f"No consumer reads a queue called {letter.queue!r}.")
    await send_back(
        publisher,
        letter.queue,
        parked.body,
        name=letter.event_name,
        event_id=letter.event_id,
        headers=parked.headers,
    )

"""An administrator who is shown what others said is recorded first: who, of whom, when and why.

A route takes `ReadingDep`, reads what it reads, and records whose it is before it answers. Where administrators read no
bodies at all (`ADMINS_READ_BODIES`) it leaves them out instead, and there is nothing to record.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, StringConstraints

from services.gateway.account.identity import AdminDep, Caller
from services.gateway.http.edge.middleware import correlation_id_of
from services.gateway.http.handed import from_app
from services.gateway.writes.broker_gate import require_broker
from shared.database import Pool, fetched
from shared.errors import Forbidden
from shared.events import ConversationRead
from shared.publishing.publisher import Publisher

Clock = Callable[[], Awaitable[datetime]]

LONGEST_USER = 255  # characters; what is longer is nobody's id, though a dead letter may say anything

Reason = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]


class ReasonQuery(BaseModel):
    """Why an administrator looks; it is kept with the record."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason | None = None


@dataclass(frozen=True)
class Reading:
    """What one administrator's request shows of others."""

    recording: "Recording"
    operator: str
    correlation_id: UUID
    query: dict[str, str]  # as they asked for it, `reason` among it
    at: datetime | None  # the database's clock before anything is read; none: no bodies are shown

    @property
    def shows_bodies(self) -> bool:
        return self.at is not None

    def require_bodies(self) -> None:
        """Go on where bodies are shown, for what is nothing without them.

        Raises:
            Forbidden: They are not.
        """
        if not self.shows_bodies:
            raise Forbidden("Administrators read no texts of users here (ADMINS_READ_BODIES).")

    async def record(self, kind: str, owners: Iterable[str | None]) -> None:
        """Record, after the read and before the answer, whose bodies the answer holds.

        Args:
            kind: Of what they are: `messages`, `sessions`, `export`, ...
            owners: The owner of each item that is shown; None where nobody knows whose it is. Without any, or where no
                bodies are shown, nothing is recorded.

        Raises:
            BrokerAway: Not all of it is with the broker, so nothing may be shown.
        """
        if self.at is None:
            return
        counts = Counter(owner if owner and len(owner) <= LONGEST_USER else None for owner in owners)
        await self.recording.publish(
            [
                ConversationRead(
                    correlation_id=self.correlation_id,
                    operator=self.operator,
                    accepted_at=self.at,
                    kind=kind,
                    user_id=owner,
                    items=items,
                    query=self.query,
                )
                for owner, items in counts.items()
            ]
        )


async def database_clock(admin: Pool) -> datetime:
    """Ask the database for the time, by the administrators' login."""
    ((at,),) = await fetched(admin, "SELECT clock_timestamp()")
    moment: datetime = at
    return moment


class Recording:
    """What records need."""

    def __init__(self, publisher: Publisher, clock: Clock, *, shows_bodies: bool) -> None:
        """Prepare; `clock` is the database's: whoever is erased from that moment on was read of by nobody we know."""
        self._publisher = publisher
        self._clock = clock
        self.shows_bodies = shows_bodies

    async def begin(self, operator: Caller, request: Request) -> Reading:
        """Prepare for what this request is going to show of others."""
        at = await self._clock() if self.shows_bodies else None
        return Reading(self, operator.user_id, correlation_id_of(request), _asked(request), at)

    async def publish(self, events: list[ConversationRead]) -> None:
        """Return once the broker has confirmed them all.

        Raises:
            BrokerAway: It has not.
        """
        if not events:
            return
        require_broker(self._publisher)
        results: list[Any] = await asyncio.gather(*map(self._publisher.publish, events), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result


def _asked(request: Request) -> dict[str, str]:
    """Return what is kept of a request; where its page begins says nothing of whom."""
    return {"path": request.scope["path"]} | {k: v for k, v in request.query_params.items() if k != "cursor"}


async def _begin(request: Request, admin: AdminDep, recording: Annotated[Recording, from_app(Recording)]) -> Reading:
    return await recording.begin(admin, request)


ReadingDep = Annotated[Reading, Depends(_begin)]

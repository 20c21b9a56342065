"""Which trips a list asks for. Pure."""

from dataclasses import dataclass
from uuid import UUID

from services.gateway.account.projects import Projects
from services.gateway.sessions.status import FIRST_STEP, TripStatus


@dataclass(frozen=True)
class TripFilter:
    """Which trips; a field that is not given asks for nothing."""

    trip_id: UUID | None = None
    avinode_trip_id: str | None = None  # or the code that people see
    session_id: str | None = None
    request_id: UUID | None = None
    avinode_rfp_id: str | None = None
    avinode_rfq_id: str | None = None
    quote_id: str | None = None
    step: str | None = None
    status: TripStatus | None = None
    with_quote: bool | None = None  # that have a primary quote, or have none
    open_only: bool = False
    sessions: bool = False  # those that are about no trip yet are asked for, too
    projects: Projects = None  # that the caller is limited to; a trip is seen through a session of one of them

    @property
    def asks_for_sessions(self) -> bool:
        """Tell whether a session without a trip is asked for: it has no quote, and no id but its own."""
        named = (self.trip_id, self.avinode_trip_id, self.request_id, self.avinode_rfp_id, self.avinode_rfq_id)
        return (
            (self.sessions or self.step == FIRST_STEP)
            and self.step in (None, FIRST_STEP)
            and self.status in (None, "active", "paused")
            and self.with_quote is not True
            and not self.open_only
            and not any((*named, self.quote_id))
        )

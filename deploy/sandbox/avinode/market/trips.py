"""What the marketplace holds: a trip, its RFQs, their lifts, quotes and messages; and the notices it sends."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Literal

from deploy.sandbox.avinode.market.inputs import EventType, NewTrip
from deploy.sandbox.avinode.market.operators import Aircraft, Operator


class LiftStatus(IntEnum):
    """What the seller said to a lift; the numbers and words are Avinode's."""

    UNANSWERED = 1
    ACCEPTED = 2
    DECLINED = 3


@dataclass(frozen=True, slots=True, eq=False)
class Quote:
    """A price for a lift. Revision 0 is Avinode's own estimate, there before any operator answers."""

    id: str
    lift: "Lift" = field(repr=False)
    revision: int
    price: float
    currency: str
    message: str
    created_at: datetime

    @property
    def is_estimate(self) -> bool:
        """Tell whether Avinode made it up, not the operator."""
        return self.revision == 0


@dataclass(slots=True, eq=False)
class Lift:
    """One aircraft requested of one operator."""

    id: str
    rfq: "Rfq" = field(repr=False)
    aircraft: Aircraft
    status: LiftStatus = LiftStatus.UNANSWERED
    quotes: list[Quote] = field(default_factory=list)

    @property
    def current_quotes(self) -> list[Quote]:
        """Return the estimate and the operator's quote as it stands: a revision replaces the one before it."""
        return [self.quotes[0], *self.quotes[1:][-1:]]


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """A message on an RFQ; an operator's answer is one with a quote or a refusal."""

    id: str
    rfq: "Rfq" = field(repr=False)
    author: Literal["buyer", "seller"]
    text: str
    created_at: datetime
    accepted: bool | None = None
    quote: Quote | None = None
    lifts: tuple[Lift, ...] = ()
    decline_reason: str | None = None


@dataclass(slots=True, eq=False)
class Rfq:
    """A request to one operator."""

    id: str
    trip: "Trip" = field(repr=False)
    operator: Operator
    created_at: datetime
    lifts: list[Lift] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    is_canceled: bool = False


@dataclass(slots=True, eq=False)
class Trip:
    """A trip of the broker's; it exists before anyone is asked to fly it."""

    id: str
    code: str
    wanted: NewTrip
    created_at: datetime
    rfqs: list[Rfq] = field(default_factory=list)
    is_canceled: bool = False


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the broker is told by webhook: which object to look at. The event only picks the webhooks."""

    event: EventType
    type: Literal["rfqs", "tripmsgs"]
    id: str
    trip_code: str

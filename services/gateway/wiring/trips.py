"""Trips and proposals; the tools of models order and prepare them, too."""

from dataclasses import dataclass

from services.gateway.sessions.queries import SessionQueries
from services.gateway.tools.toolkit import Toolkit
from services.gateway.trips.admin_routes import EverybodysTrips
from services.gateway.trips.finding.without_trip import SessionsWithoutTrip
from services.gateway.trips.listing import TripLists
from services.gateway.trips.ordering.order_limits import OrderLimits
from services.gateway.trips.proposals.proposing import Proposing
from services.gateway.trips.proposals.queries import ProposalQueries
from services.gateway.trips.queries import TripQueries
from services.gateway.trips.routes import Trips
from services.gateway.wiring.parts import Parts


@dataclass(frozen=True)
class TripParts:
    """What the tools of models use of it."""

    ordering: Trips
    proposing: Proposing
    subjects: tuple[object, ...]

    @property
    def toolkit(self) -> Toolkit:
        return Toolkit(self.ordering, self.proposing)


def trips(parts: Parts) -> TripParts:
    settings, pools = parts.settings, parts.pools
    queries, everybodys = TripQueries(pools.reader), TripQueries(pools.admin)
    limits = OrderLimits(settings, parts.buckets, queries)
    ordering = Trips(settings, parts.own, parts.turns, limits, queries, everybodys, parts.publisher, parts.accepting)
    proposing = Proposing(
        settings,
        parts.turns,
        queries,
        ProposalQueries(pools.reader),
        parts.buckets,
        parts.publisher,
        parts.accepting,
    )
    lists = TripLists(parts.turns, queries, SessionsWithoutTrip(parts.sessions), parts.lanes)
    of_all = EverybodysTrips(lists, everybodys, SessionsWithoutTrip(SessionQueries(pools.admin)))
    return TripParts(ordering, proposing, (ordering, proposing, lists, of_all))

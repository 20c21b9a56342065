"""Trips and proposals; the tools of models order and prepare them, too."""

from typing import cast

from services.gateway.tools.toolkit import Toolkit
from services.gateway.trips.admin_routes import EverybodysTrips
from services.gateway.trips.finding.without_trip import SessionsWithoutTrip
from services.gateway.trips.listing import TripLists
from services.gateway.trips.ordering.order_limits import OrderLimits
from services.gateway.trips.proposals.proposing import Proposing
from services.gateway.trips.proposals.queries import ProposalQueries
from services.gateway.trips.queries import TripQueries
from services.gateway.trips.routes import Trips
from tests.service.gateway.fakes.trips import FakeProposals, FakeTrips
from tests.service.gateway.fakes.wiring.parts import Parts


def trips(parts: Parts) -> tuple[Toolkit, tuple[object, ...]]:
    """Return what the tools of models use of it, and all of it."""
    settings, queries = parts.settings, cast(TripQueries, FakeTrips(parts.world))
    limits = OrderLimits(settings, parts.buckets, queries)
    ordering = Trips(settings, parts.own, parts.turns, limits, queries, queries, parts.publisher, parts.accepting)
    proposing = Proposing(
        settings,
        parts.turns,
        queries,
        cast(ProposalQueries, FakeProposals()),
        parts.buckets,
        parts.publisher,
        parts.accepting,
    )
    lists = TripLists(parts.turns, queries, SessionsWithoutTrip(parts.sessions), parts.lanes)
    of_all = EverybodysTrips(lists, queries, lists.without)
    return Toolkit(ordering, proposing), (ordering, proposing, lists, of_all)

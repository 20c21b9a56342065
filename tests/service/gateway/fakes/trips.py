"""Trips, their orders and proposals."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from services.gateway.account.projects import Projects
from services.gateway.http.requests.cursors import Place
from services.gateway.sessions.status import TripStatus
from services.gateway.trips.finding.filters import TripFilter
from services.gateway.trips.proposals.queries import Choice
from services.gateway.trips.proposals.record import ProposalRow
from services.gateway.trips.records.placed import PlacedOrder
from services.gateway.trips.records.record import Trip, TripRow
from services.gateway.turns.turn import Turn
from shared.events import TripChanged
from tests.service.gateway.fakes.stored import Stored


class FakeProposals:
    """None: what is read of proposals is tested with the tables."""

    async def find(self, user_ids: Sequence[str], proposal_id: UUID) -> ProposalRow | None:
        return None

    async def choice(self, user_ids: Sequence[str], trip_id: UUID) -> Choice:
        return Choice({}, 0, datetime.now(UTC))


class FakeTrips:
    def __init__(self, world: Stored) -> None:
        self._world = world

    async def page(
        self,
        user_ids: Sequence[str],
        wanted: TripFilter,
        limit: int,
        before: Place | None = None,
        turns: Sequence[Turn] = (),
    ) -> list[tuple[Place, TripRow]]:
        found: list[tuple[Place, TripRow]] = [
            ((trip.session_started_at, str(trip.id)), trip) for trip in self._of(user_ids, wanted)
        ]
        return [(place, trip) for place, trip in found if before is None or place < before][:limit]

    async def page_of_all(
        self, wanted: TripFilter, limit: int, before: Place | None = None
    ) -> list[tuple[Place, TripRow]]:
        return await self.page([trip.iso_agent_id for trip in self._world.trips], wanted, limit, before)

    async def count(
        self, user_ids: Sequence[str], projects: Projects, turns: Sequence[Turn]
    ) -> Counter[tuple[TripStatus, str]]:
        return Counter((trip.status, trip.current_step) for trip in self._of(user_ids, TripFilter()))

    async def count_of_all(self) -> tuple[Counter[tuple[TripStatus, str]], bool]:
        return await self.count([trip.iso_agent_id for trip in self._world.trips], None, ()), True

    async def find(self, user_ids: Sequence[str], wanted: TripFilter, turns: Sequence[Turn] = ()) -> Trip | None:
        return next(iter(self._of(user_ids, wanted)), None)

    async def order(self, user_ids: Sequence[str], promised_trip_id: UUID) -> PlacedOrder | None:
        own = (order for order in self._world.orders if order.user_id in user_ids)
        return next((order for order in own if order.promised_trip_id == promised_trip_id), None)

    async def has_settled(self, user_ids: Sequence[str], event: TripChanged) -> bool:
        return False  # nobody hears it here

    async def held_by_others(self, user_ids: Sequence[str], reference: str, projects: Projects = None) -> bool:
        return reference in self._world.held_by_others

    def _of(self, user_ids: Sequence[str], wanted: TripFilter) -> list[Trip]:
        return [
            trip
            for trip in reversed(self._world.trips)
            if trip.iso_agent_id in user_ids
            and wanted.trip_id in (None, trip.id)
            and wanted.session_id in (None, trip.conversation_id)
            and wanted.request_id in (None, trip.request_id)
            and wanted.avinode_trip_id in (None, trip.avinode_trip_id, trip.trip_code)
            and not (wanted.open_only and trip.session_ended_at is not None)
        ]

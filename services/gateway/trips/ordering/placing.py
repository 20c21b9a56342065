"""Place an order of a trip: publish what a user ordered, and wait until its row says what became of it."""

from services.gateway.trips.finding.filters import TripFilter
from services.gateway.trips.queries import TripQueries
from services.gateway.trips.records.placed import PlacedOrder
from services.gateway.trips.records.record import Trip
from services.gateway.writes.accept import Accepting
from shared.errors import TripOpen, TripUnconfirmed
from shared.events import TripAttached, TripRequested


class Placing:
    """One order on its way to being a trip of its session."""

    def __init__(self, accepting: Accepting, queries: TripQueries, event: TripRequested | TripAttached) -> None:
        self._accepting = accepting
        self._queries = queries
        self._event = event
        self._seen: Trip | None = None

    async def publish(self, wait_s: float) -> Trip | None:
        """Publish, and wait until it is known what Avinode says; what is stored by the end of that is the answer.

        Raises:
            TripOpen: The session had another open trip when the workflow came to this.
            NotFound: The trip is somebody else's.
        """
        session = self._event.user_id, str(self._event.session_id)
        return await self._accepting.accept([self._event], self._settled, wait_s, session=session) or self._seen

    async def repeated(self) -> Trip | None:
        """Return the trip that this order made before, or that its session has already; None where it is news.

        Raises:
            TripOpen: The session has another open trip.
            NotFound: This order has found that before.
        """
        order = await self._order()
        made = None if order is None else await self._trip_of(order)
        return made or await self._open_trip()

    async def _settled(self) -> Trip | None:
        order = await self._order()
        if order is None:
            return None
        self._seen = await self._trip_of(order)
        return self._seen if order.settled else None

    async def _order(self) -> PlacedOrder | None:
        return await self._queries.order((self._event.user_id,), self._event.trip_id)

    async def _trip_of(self, order: PlacedOrder) -> Trip | None:
        """Return the trip that an order is; None where it turned out to be another one between two looks."""
        if order.refusal is not None:
            raise order.refusal
        return await self._find(TripFilter(trip_id=order.trip_id, session_id=order.session_id))

    async def _open_trip(self) -> Trip | None:
        """Return the session's open trip where it is the one that is to be attached."""
        trip = await self._find(TripFilter(session_id=self._event.session_id, open_only=True))
        if trip is None:
            return None
        if isinstance(self._event, TripAttached):
            if self._event.avinode_trip_id in (trip.avinode_trip_id, trip.trip_code):
                return trip
            if trip.unconfirmed:
                return None  # it gives way
        raise (TripUnconfirmed if trip.unconfirmed else TripOpen)(trip_id=str(trip.id))

    async def _find(self, wanted: TripFilter) -> Trip | None:
        return await self._queries.find((self._event.user_id,), wanted)

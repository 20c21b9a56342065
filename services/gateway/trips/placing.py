"""Begin a trip: publish what a user ordered, and wait until it is known what became of it."""

from services.gateway.trips.queries import TripFilter, TripQueries
from services.gateway.trips.record import Trip
from services.gateway.writes.receipts import Receipt, Receipts
from shared.errors import NotFound, TripOpen
from shared.events import TripAdvanced, TripAttached, TripRequested
from shared.publisher import Publisher

UNCONFIRMED = (
    "Nobody can tell whether Avinode made the trip that this session asked for. Look there, and attach that trip, or "
    "another one, by its `avinode_trip_id`."
)


class Placing:
    """One order on its way to being a trip of its session."""

    def __init__(
        self, publisher: Publisher, queries: TripQueries, receipts: Receipts, event: TripRequested | TripAttached
    ) -> None:
        self._publisher = publisher
        self._queries = queries
        self._receipts = receipts
        self._event = event
        self._seen: Trip | None = None

    async def publish(self, wait_s: float) -> Trip | None:
        """Publish, and wait until it is known what Avinode says; what is stored by the end of that is the answer.

        Raises:
            TripOpen: The session has another open trip, or had one when the workflow came to this.
            NotFound: The trip is somebody else's.
        """
        session = self._event.user_id, str(self._event.session_id)
        with self._receipts.expecting(self._event.event_id, session) as receipt:
            await self._publisher.publish(self._event)
            return await receipt.until(lambda: self._settled(receipt), wait_s) or self._seen

    async def trip(self) -> Trip | None:
        """Return the trip that this order makes or repeats; None where there is none yet.

        Raises:
            TripOpen: The session has another open trip.
        """
        made = await self._find(self._own())
        if made is not None:
            return made
        of_session = TripFilter(session_id=self._event.session_id, open_only=True)
        open_trip = await self._find(of_session)
        if open_trip is None:
            return await self._closed()
        if self._is_meant(open_trip):
            return open_trip
        if isinstance(self._event, TripAttached) and open_trip.unconfirmed:
            return None
        raise TripOpen(UNCONFIRMED if open_trip.unconfirmed else None, trip_id=str(open_trip.id))

    async def _settled(self, receipt: Receipt) -> Trip | None:
        answer = receipt.answer  # before the look, since what it tells of is committed
        self._seen = await self.trip()
        if self._seen is None and isinstance(answer, TripAdvanced):
            self._seen = await self._named(answer)
        return self._seen if self._seen is not None and self._seen.settled else None

    async def _named(self, answer: TripAdvanced) -> Trip:
        """Return the trip that the workflow's answer names, where it is this order's and was closed between two looks.

        Raises:
            TripOpen: It is another one, which the session had when the workflow came to this.
            NotFound: The session has no such trip.
        """
        trip = await self._find(TripFilter(trip_id=answer.trip_id, session_id=self._event.session_id))
        if trip is None:
            raise NotFound("There is no such trip.")
        if trip.id == self._event.trip_id or self._is_meant(trip) or self._was_meant(trip):
            return trip
        raise TripOpen(trip_id=str(trip.id))

    def _own(self) -> TripFilter:
        """Name what this order has made, if anything.

        A requested trip is found by its request, since it may turn out to be known under another id; an attached one
        that Avinode does not know loses the name it was attached by.
        """
        if isinstance(self._event, TripRequested):
            return TripFilter(request_id=self._event.request_id)
        trip_id = self._seen.id if self._seen is not None else self._event.trip_id
        return TripFilter(trip_id=trip_id, session_id=self._event.session_id)

    def _is_meant(self, trip: Trip) -> bool:
        if isinstance(self._event, TripRequested):
            return trip.request_id == self._event.request_id  # stored between two readings
        return self._event.avinode_trip_id in (trip.avinode_trip_id, trip.trip_code)

    def _was_meant(self, trip: Trip) -> bool:
        """Tell whether a trip was given up under this order's name for it, of which only the reason still tells."""
        if isinstance(self._event, TripRequested) or trip.outcome is None:
            return False
        return (trip.problem or "").startswith(f"{self._event.avinode_trip_id}: ")

    async def _closed(self) -> Trip | None:
        """Find the trip to be attached where it is over, and so never open in this session."""
        if isinstance(self._event, TripRequested):
            return None
        named = TripFilter(session_id=self._event.session_id, avinode_trip_id=self._event.avinode_trip_id)
        trip = await self._find(named)
        return trip if trip is not None and trip.outcome is not None else None

    async def _find(self, wanted: TripFilter) -> Trip | None:
        return await self._queries.find((self._event.user_id,), wanted)

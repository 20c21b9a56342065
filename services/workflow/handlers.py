"""Hear events: what users did to trips, and what Avinode's webhooks brought."""

from collections.abc import Callable, Sequence

from services.workflow.notices import Notice, read_notice
from services.workflow.store.deliveries import DeliveryStore
from services.workflow.store.trips import TripStore
from shared.events import Event, TripAdvanced, TripAttached, TripRequested, WebhookReceived

Wake = Callable[[], None]


class TripHandler:
    """The queue `workflow.trips`."""

    def __init__(self, trips: TripStore, wake: Wake) -> None:
        self._trips = trips
        self._wake = wake

    async def commit(self, events: Sequence[Event]) -> list[TripAdvanced]:
        """Store one group; every request and attachment is answered, a repeated one too."""
        begun = [event for event in events if isinstance(event, TripRequested | TripAttached)]
        trip_ids = await self._trips.record(begun)
        self._wake()
        return [
            TripAdvanced(user_id=event.user_id, session_id=event.session_id, trip_id=trip_id, causes=(event.event_id,))
            for event, trip_id in zip(begun, trip_ids, strict=True)
        ]


class DeliveryHandler:
    """The queue `workflow.deliveries`."""

    def __init__(self, deliveries: DeliveryStore, base_url: str, wake: Wake, *, most: int) -> None:
        """Prepare; a notice may have `most` bytes when it is inflated."""
        self._deliveries = deliveries
        self._base_url = base_url
        self._most = most
        self._wake = wake

    async def commit(self, events: Sequence[Event]) -> list[TripAdvanced]:
        """Keep one group of notices; what they point at is looked at later, and announced then."""
        received = [event for event in events if isinstance(event, WebhookReceived)]
        await self._deliveries.keep([(event, self._read(event)) for event in received])
        self._wake()
        return []

    def _read(self, event: WebhookReceived) -> Notice:
        if event.source != "avinode":
            return Notice("ignored", f"nobody reads notices from {event.source}")
        encoding = event.headers.get("content-encoding", "")
        return read_notice(event.payload, self._base_url, encoding=encoding, most=self._most)

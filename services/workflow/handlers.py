"""Hear events: what users did to trips, and what Avinode's webhooks brought."""

from collections.abc import Callable, Sequence

import structlog

from services.workflow.notices import Notice, read_notice
from services.workflow.store.deliveries import DeliveryStore
from services.workflow.store.trips import TripStore
from shared.events import (
    Event,
    SessionDeleted,
    TripAdvanced,
    TripAttached,
    TripReleased,
    TripRequested,
    UserErased,
    WebhookReceived,
)

Wake = Callable[[], None]

log = structlog.get_logger(__name__)


class TripHandler:
    """The queue `workflow.trips`."""

    def __init__(self, trips: TripStore, wake: Wake) -> None:
        self._trips = trips
        self._wake = wake

    async def commit(self, events: Sequence[Event]) -> list[TripAdvanced]:
        """Store one group; every request and attachment is answered, a repeated one too.

        What is gone is not, wherever in the group its deletion stands.
        """
        deleted = [event for event in events if isinstance(event, SessionDeleted)]
        erased = [event for event in events if isinstance(event, UserErased)]
        if deleted or erased:
            await self._trips.note(deleted, erased)
        heard = [event for event in events if isinstance(event, TripRequested | TripAttached | TripReleased)]
        outcomes = await self._trips.record(heard)
        self._wake()
        for event in heard:
            if isinstance(event, TripReleased):
                log.warning("trip released", trip_id=str(event.trip_id), users=event.user_ids, operator=event.operator)
        return outcomes


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

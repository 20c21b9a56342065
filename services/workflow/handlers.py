"""Hear events: what users did to trips, and what Avinode's webhooks brought."""

from collections.abc import Mapping, Sequence

import structlog

from services.workflow.avinode.notices import Notice, read_notice
from services.workflow.store.deliveries import DeliveryStore
from services.workflow.store.hearing.trips import TripStore
from shared.events import (
    DeliveryReprocessed,
    Event,
    ProposalChanged,
    ProposalPrepared,
    ProposalSent,
    SessionDeleted,
    TripAdvanced,
    TripAttached,
    TripChanged,
    TripClosed,
    TripRefreshRequested,
    TripReleased,
    TripRequested,
    UserErased,
    WebhookReceived,
)

Orders = TripRequested | TripAttached | TripChanged | TripClosed | TripRefreshRequested | TripReleased
HEARD = Orders | ProposalPrepared | ProposalChanged | ProposalSent

log = structlog.get_logger(__name__)


class TripHandler:
    """The queue `workflow.trips`."""

    def __init__(self, trips: TripStore) -> None:
        self._trips = trips

    async def hear(self, event: Event) -> list[TripAdvanced]:
        """Store one event."""
        return await self.commit((event,))

    async def commit(self, events: Sequence[Event]) -> list[TripAdvanced]:
        """Store one group; every request and attachment is answered, a repeated one too.

        What is gone is not, wherever in the group its deletion stands.
        """
        deleted = [event for event in events if isinstance(event, SessionDeleted)]
        erased = [event for event in events if isinstance(event, UserErased)]
        if deleted or erased:
            await self._trips.note(deleted, erased)
        heard = [event for event in events if isinstance(event, HEARD)]
        outcomes = await self._trips.record(heard)
        for event in heard:
            if isinstance(event, TripReleased):
                log.warning("trip released", trip_id=str(event.trip_id), users=event.user_ids, operator=event.operator)
        return outcomes


class DeliveryHandler:
    """The queue `workflow.deliveries`."""

    def __init__(self, deliveries: DeliveryStore, base_url: str, *, most: int) -> None:
        """Prepare; a notice may have `most` bytes when it is inflated."""
        self._deliveries = deliveries
        self._base_url = base_url
        self._most = most

    async def hear(self, event: Event) -> list[TripAdvanced]:
        """Keep one notice."""
        return await self.commit((event,))

    async def commit(self, events: Sequence[Event]) -> list[TripAdvanced]:
        """Keep one group of notices; what they point at is looked at later, and announced then."""
        received = [event for event in events if isinstance(event, WebhookReceived)]
        kept = [(event, self._read(event.source, event.headers, event.payload)) for event in received]
        await self._deliveries.keep(kept)
        for event in events:
            if isinstance(event, DeliveryReprocessed):
                await self._read_again(event)
        return []

    async def _read_again(self, event: DeliveryReprocessed) -> None:
        """Read a notice as it came: what is configured, or what can be read, may be another than it was."""
        kept = await self._deliveries.find(event.delivery_id)
        if kept is not None:
            await self._deliveries.begin_anew(event, self._read(kept.source, kept.headers, kept.payload))
            log.warning("notice worked again", delivery_id=str(event.delivery_id), operator=event.operator)

    def _read(self, source: str, headers: Mapping[str, str], payload: bytes) -> Notice:
        if source != "avinode":
            return Notice("ignored", f"nobody reads notices from {source}")
        return read_notice(payload, self._base_url, encoding=headers.get("content-encoding", ""), most=self._most)

"""Read one thing at Avinode, and make sure that it is the one that was asked for."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from services.workflow.avinode.asked import require
from services.workflow.avinode.client import Avinode
from services.workflow.avinode.resources import (
    MessageReading,
    RfqReading,
    Trip,
    read_message,
    read_quote,
    read_rfq,
    read_trip,
)
from services.workflow.facts import Quote
from services.workflow.store.deliveries import DirtyHref


class Reader:
    """Each method is one call, and raises what a call may: `Unreadable` where Avinode shows something else."""

    def __init__(self, avinode: Avinode, clock: Callable[[], Awaitable[datetime]]) -> None:
        self._avinode = avinode
        self._clock = clock

    async def told_message(self, dirty: DirtyHref) -> MessageReading:
        """Read the message that a notice points at."""
        at = await self._begin()
        reading = read_message(await self._avinode.follow(dirty.href), at)
        require(dirty.avinode_id, reading.message.avinode_message_id)
        return reading

    async def told_rfq(self, dirty: DirtyHref) -> RfqReading:
        """Read the RFQ that a notice points at."""
        at = await self._begin()
        rfq = read_rfq(await self._avinode.follow(dirty.href), at)
        require(dirty.avinode_id, rfq.rfq.rfq_id)
        return rfq

    async def trip(self, reference: str, *, is_urgent: bool = False) -> Trip:
        """Read a trip by its id or its code: rows of one name become one, so it must be the one asked for."""
        at = await self._begin(is_urgent=is_urgent)
        trip = read_trip(await self._avinode.read("trips", reference), at)
        name = trip.avinode_trip_id if reference.startswith("atrip-") else trip.trip_code
        require(reference, name or reference)
        return trip

    async def rfq(self, rfq_id: str) -> RfqReading:
        at = await self._begin()
        rfq = read_rfq(await self._avinode.read("rfqs", rfq_id), at)
        require(rfq_id, rfq.rfq.rfq_id)
        return rfq

    async def message(self, message_id: str) -> MessageReading:
        at = await self._begin()
        reading = read_message(await self._avinode.read("tripmsgs", message_id), at)
        require(message_id, reading.message.avinode_message_id)
        return reading

    async def quote(self, quote_id: str, rfq_id: str, lift_id: str) -> Quote:
        """Read a quote that a lift of an RFQ links to."""
        at = await self._begin()
        quote = read_quote(await self._avinode.read("quotes", quote_id), rfq_id, lift_id, at)
        require(quote_id, quote.quote_id)
        return quote

    async def _begin(self, *, is_urgent: bool = False) -> datetime:
        """Wait until a call may be made, and return when it begins."""
        await self._avinode.ready(is_urgent=is_urgent)
        return await self._clock()

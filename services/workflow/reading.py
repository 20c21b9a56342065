"""Read at Avinode what notices point at, and, at least so often, every open trip: the same facts either way."""

from collections.abc import Awaitable, Sequence
from datetime import datetime
from uuid import UUID

import structlog
from prometheus_client import Counter

from services.workflow.avinode.client import Avinode, AvinodeAway, AvinodeMissing, AvinodeRefused, AvinodeUnclear
from services.workflow.avinode.resources import (
    MessageReading,
    RfqReading,
    Unreadable,
    read_message,
    read_quote,
    read_rfq,
    read_trip,
)
from services.workflow.facts import Found, Quote
from services.workflow.pace import Pace
from services.workflow.store.deliveries import DeliveryStore, DirtyHref
from services.workflow.store.facts import DueTrip, FactStore
from shared.errors import TripthreadError, Unstorable
from shared.publisher import Publisher

_WORKED = Counter("tripthread_avinode_notices_total", "Notices worked, by what became of them.", ["state"])
REMEMBERED = 10_000  # trips of others, by name

log = structlog.get_logger(__name__)


class _Unmatched(Exception):
    """The notice is about a trip that is not ours, or not yet."""

    def __init__(self, trip_code: str | None) -> None:
        self.trip_code = trip_code


class Reader:
    """Two kinds of work: the next notice, the next trip. Each method works one and tells whether there was any."""

    def __init__(
        self, facts: FactStore, deliveries: DeliveryStore, avinode: Avinode, publisher: Publisher, pace: Pace
    ) -> None:
        self._facts = facts
        self._deliveries = deliveries
        self._avinode = avinode
        self._announce = publisher.announce
        self._pace = pace
        self._not_lost: dict[str, None] = {}  # trips of others

    async def work_notice(self) -> bool:
        """Look at the href that has been due longest."""
        dirty = await self._deliveries.next_due()
        if dirty is None:
            return False
        try:
            await self._look_at(dirty)
        except _Unmatched as error:
            wait_s = self._pace.retry_s(dirty.attempts + 1, self._pace.longest_unmatched_s)
            await self._deliveries.postpone(dirty, "unmatched", "no such trip here", wait_s, trip_code=error.trip_code)
            _WORKED.labels("unmatched").inc(len(dirty.delivery_ids))
        except (AvinodeAway, AvinodeRefused, AvinodeUnclear, Unreadable, Unstorable) as error:
            await self._fail(dirty, error)
        else:
            await self._deliveries.settle(dirty, "done", None)
            _WORKED.labels("done").inc(len(dirty.delivery_ids))
        return True

    async def work_trip(self) -> bool:
        """Read the trip that has been due longest."""
        due = await self._facts.next_due()
        if due is None:
            return False
        try:
            await self._read_trip(due)
        except AvinodeMissing as error:
            await self._lose(due, error.detail)
        except AvinodeRefused as error:
            await self._announce(await self._facts.postpone(due.trip_id, error.detail, self._pace.refused_s))
        except AvinodeAway as error:
            wait_s = error.wait_s or self._pace.trip_retry_s
            await self._announce(await self._facts.postpone(due.trip_id, error.detail, wait_s))
        except (AvinodeUnclear, Unreadable, Unstorable) as error:
            log.error("trip not readable", trip_id=str(due.trip_id), error=error.detail)
            await self._announce(await self._facts.postpone(due.trip_id, error.detail, self._pace.longest_retry_s))
        return True

    async def _fail(self, dirty: DirtyHref, error: TripthreadError) -> None:
        """Try again later, but not for ever for what Avinode does not know or we cannot read."""
        is_hopeless = isinstance(error, AvinodeMissing | Unreadable | Unstorable)
        log.warning("notice not worked", href=dirty.href, error=error.detail, attempts=dirty.attempts + 1)
        if is_hopeless and dirty.attempts + 1 >= self._pace.missing_attempts:
            await self._deliveries.settle(dirty, "ignored", error.detail)
            _WORKED.labels("ignored").inc(len(dirty.delivery_ids))
            return
        wait_s = self._pace.retry_s(dirty.attempts + 1)
        if isinstance(error, AvinodeAway):
            wait_s = max(wait_s, error.wait_s or 0)
        elif isinstance(error, AvinodeRefused) and not is_hopeless:
            wait_s = self._pace.refused_s
        await self._deliveries.postpone(dirty, "due", error.detail, wait_s)
        _WORKED.labels("postponed").inc(len(dirty.delivery_ids))

    async def _lose(self, due: DueTrip, detail: str) -> None:
        """Avinode does not know a trip: one that was there is asked for again, one that never was is given up."""
        if due.was_read:
            await self._announce(await self._facts.postpone(due.trip_id, detail, self._pace.longest_retry_s))
        else:
            await self._announce(await self._facts.give_up(due.trip_id, f"{due.reference}: {detail}"))

    async def _look_at(self, dirty: DirtyHref) -> None:
        if dirty.trip_code is not None:
            await self._trip_called(dirty.trip_code)  # a trip that is not ours costs no call
        at = await self._begin()
        body = await self._avinode.follow(dirty.href)
        causes = tuple(dirty.event_ids)
        if dirty.kind == "tripmsgs":
            await self._keep_answer(read_message(body, at), dirty.trip_code, causes)
            return
        rfq = read_rfq(body, at)
        trip_id = await self._trip_called(rfq.trip_code or dirty.trip_code)
        await self._add(trip_id, rfq.found, causes)
        await self._read_quotes(trip_id, [rfq])
        if rfq.rfq.canceled:
            await self._facts.read_soon(trip_id)  # perhaps the whole trip was, which no notice says

    async def _keep_answer(self, reading: MessageReading, trip_code: str | None, causes: tuple[UUID, ...]) -> None:
        """Keep a message. A quote or refusal changes its RFQ too, which is read for itself: messages may be old."""
        message, found, rfq = reading.message, reading.found, None
        trip_id = await self._facts.trip_of_rfq(message.rfq_id)
        if message.rfq_id is not None and (trip_id is None or message.kind != "chat"):
            at = await self._begin()
            rfq = read_rfq(await self._avinode.read("rfqs", message.rfq_id), at)
            found, trip_code = rfq.found + found, rfq.trip_code or trip_code
        if trip_id is None:
            trip_id = await self._trip_called(reading.trip_code or trip_code)
        await self._add(trip_id, found, causes)
        if rfq is not None:
            await self._read_quotes(trip_id, [rfq])
        if message.rfq_id is None:
            await self._facts.read_soon(trip_id)  # whose quote or refusal it is, only the trip can tell

    async def _read_trip(self, due: DueTrip) -> None:
        """Read a trip and whatever it links to that is not known yet: a notice that was lost is made up for."""
        at = await self._begin()
        trip = read_trip(await self._avinode.read("trips", due.reference), at)
        trip_id, outcomes = await self._facts.add_trip(due.trip_id, trip)
        await self._announce(outcomes)
        if trip_id is None:
            return
        for rfq_id in trip.rfq_ids:
            await self._unless_gone(self._read_rfq(trip_id, rfq_id))
        for message_id in await self._facts.unknown_messages(trip.message_ids):
            await self._unless_gone(self._read_message(trip_id, message_id))
        await self._read_quotes(trip_id, trip.rfqs)

    async def _read_rfq(self, trip_id: UUID, rfq_id: str) -> None:
        at = await self._begin()
        rfq = read_rfq(await self._avinode.read("rfqs", rfq_id), at)
        await self._add(trip_id, rfq.found)
        await self._read_quotes(trip_id, [rfq])

    async def _read_message(self, trip_id: UUID, message_id: str) -> None:
        at = await self._begin()
        await self._add(trip_id, read_message(await self._avinode.read("tripmsgs", message_id), at).found)

    async def _read_quotes(self, trip_id: UUID, rfqs: Sequence[RfqReading]) -> None:
        """Read the quotes that lifts link to and nobody has read: Avinode's estimates, and answers we missed."""
        wanted = {
            quote_id: (rfq.rfq.rfq_id, lift_id) for rfq in rfqs for quote_id, lift_id in rfq.quotes_by_lift.items()
        }
        found: list[Quote] = []
        for quote_id in await self._facts.unknown_quotes(wanted):
            await self._unless_gone(self._read_quote(quote_id, *wanted[quote_id], found))
        if found:
            await self._add(trip_id, Found(quotes=tuple(found)))

    async def _read_quote(self, quote_id: str, rfq_id: str, lift_id: str, found: list[Quote]) -> None:
        at = await self._begin()
        found.append(read_quote(await self._avinode.read("quotes", quote_id), rfq_id, lift_id, at))

    async def _unless_gone(self, reading: Awaitable[None]) -> None:
        """One link that leads nowhere must not keep the others from being followed."""
        try:
            await reading
        except (AvinodeMissing, Unreadable) as error:
            log.warning("avinode links to nothing readable", error=error.detail)

    async def _trip_called(self, reference: str | None) -> UUID:
        """Find our trip of that name, if need be among those whose creation was never answered."""
        trip_id = await self._facts.trip_called(reference)
        if trip_id is None and reference is not None and await self._may_be_lost(reference):
            at = await self._begin()
            trip = read_trip(await self._avinode.read("trips", reference), at)
            trip_id, outcomes = await self._facts.add_trip(None, trip)
            await self._announce(outcomes)
            self._not_lost[reference] = None
        if trip_id is None:
            raise _Unmatched(reference)
        return trip_id

    async def _may_be_lost(self, reference: str) -> bool:
        """Tell whether a trip might be one of ours whose creation was never answered; each is asked about once."""
        if len(self._not_lost) > REMEMBERED:
            self._not_lost.pop(next(iter(self._not_lost)))
        return reference not in self._not_lost and await self._facts.has_unconfirmed_requests()

    async def _begin(self) -> datetime:
        """Wait until a call may be made, and return when it begins."""
        await self._avinode.ready()
        return await self._facts.clock()

    async def _add(self, trip_id: UUID, found: Found, causes: tuple[UUID, ...] = ()) -> None:
        await self._announce(await self._facts.add(trip_id, found, causes))

"""Read at Avinode what notices point at, and whole trips, and keep what they say: the same facts either way.

A notice costs a call, or two where it is an operator's answer; a trip one, and one for each link that nobody has read.
"""

from collections.abc import Awaitable, Sequence
from typing import TypeVar
from uuid import UUID

import structlog

from services.workflow.avinode.asked import require
from services.workflow.avinode.client import Avinode
from services.workflow.avinode.errors import AvinodeAway, AvinodeLocked, AvinodeRefused, AvinodeUnclear, Unreadable
from services.workflow.avinode.resources import MessageReading, RfqReading, is_buyers
from services.workflow.facts import Found
from services.workflow.reading.reader import Reader
from services.workflow.reading.recent import Readings
from services.workflow.store.deliveries import DirtyHref
from services.workflow.store.facts.due import DueTrip
from services.workflow.store.facts.store import FactStore
from shared.errors import TripthreadError, Unstorable
from shared.jobs.unworkable import Unworkable, own_faults
from shared.publishing.publisher import Publisher

REMEMBERED = 10_000  # trips of others, by name
T = TypeVar("T")

log = structlog.get_logger(__name__)


class Unmatched(TripthreadError):
    """The notice is about a trip that is not ours, or not yet."""

    code = "unmatched"

    def __init__(self, trip_code: str | None) -> None:
        super().__init__()
        self.trip_code = trip_code


class Follower:
    """Follows links into Avinode; what is found on the way is kept and announced step by step."""

    def __init__(self, facts: FactStore, avinode: Avinode, publisher: Publisher) -> None:
        self._facts = facts
        self._reader = Reader(avinode, facts.clock)
        self._announce = publisher.announce
        self._not_lost: dict[str, None] = {}  # trips of others
        self._readings = Readings()

    async def look_at(self, dirty: DirtyHref) -> str | None:
        """Read what a notice points at, unless that was read since the notice was kept.

        Returns:
            The code of the trip that it is about, where what it points at says one.

        Raises:
            Unmatched: It is about no trip of ours.
        """
        if dirty.trip_code is not None:
            await self._trip_called(dirty.trip_code)  # a trip that is not ours costs no call
        causes = tuple(dirty.event_ids)
        if await self._was_read(dirty, causes):
            return None
        if dirty.kind == "tripmsgs":
            return await self._keep_answer(await self._reader.told_message(dirty), dirty, causes)
        rfq = await self._reader.told_rfq(dirty)
        known = None if rfq.trip_code else await self._facts.trip_of_rfq(rfq.rfq.rfq_id)  # before what the notice says
        trip_id = known or await self._trip_called(rfq.trip_code or dirty.trip_code)
        await self._keep_rfq(trip_id, rfq, rfq.found, causes)
        await self._conclude(trip_id)
        return rfq.trip_code

    async def _was_read(self, dirty: DirtyHref, causes: tuple[UUID, ...]) -> bool:
        """Tell whether what is pointed at was read meanwhile, for another notice or with its trip."""
        if not self._readings.has_since(dirty.avinode_id, dirty.kept_at):
            return False
        is_message = dirty.kind == "tripmsgs"
        trip_of = self._facts.trip_of_message if is_message else self._facts.trip_of_rfq
        trip_id = await trip_of(dirty.avinode_id)
        if trip_id is not None:
            await self._add(trip_id, Found(), causes)
        return trip_id is not None

    async def _keep_answer(self, reading: MessageReading, dirty: DirtyHref, causes: tuple[UUID, ...]) -> str | None:
        """Keep a message. A quote or refusal changes its RFQ too, which is read for itself: messages may be old."""
        message, found, rfq, trip_code = reading.message, reading.found, None, reading.trip_code
        trip_id = await self._facts.trip_of_rfq(message.rfq_id)
        is_told = message.kind == "chat" or self._readings.has_since(message.rfq_id, dirty.kept_at)
        if message.rfq_id is not None and (trip_id is None or not is_told):
            rfq = await self._reader.rfq(message.rfq_id)
            found, trip_code = rfq.found + found, trip_code or rfq.trip_code
        if trip_id is None:
            trip_id = await self._trip_called(trip_code or dirty.trip_code)
        if rfq is None:
            await self._add(trip_id, found, causes)
        else:
            await self._keep_rfq(trip_id, rfq, found, causes)
        self._readings.note(message.avinode_message_id, message.fetched_at)
        if message.rfq_id is None:
            await self._facts.read_soon(trip_id)  # whose quote or refusal it is, only the trip can tell
        await self._conclude(trip_id)
        return trip_code

    async def _keep_rfq(self, trip_id: UUID, rfq: RfqReading, found: Found, causes: tuple[UUID, ...] = ()) -> None:
        """Keep what was found with an RFQ, and what its lifts link to."""
        await self._add(trip_id, found, causes)
        await self._read_quotes(trip_id, [rfq])
        self._readings.note(rfq.rfq.rfq_id, rfq.rfq.fetched_at)
        if rfq.rfq.canceled:
            await self._facts.read_soon(trip_id)  # perhaps the whole trip was, which no notice says

    async def _conclude(self, trip_id: UUID) -> None:
        """Read a trip of which it seems that nobody's answer is awaited any more: of notices, some may be missing.

        Its sellers' messages say why an operator has declined, and one whose notice is still to come is read here.
        """
        reference = await self._facts.seems_answered(trip_id)
        if reference is None:
            return
        try:
            trip = await self._reader.trip(reference)
            kept, outcomes = await self._facts.add_trip(trip_id, trip)
            await self._announce(outcomes)
            if kept is not None and not trip.rfq_ids:
                answers = [message_id for message_id in trip.message_ids if not is_buyers(message_id)]
                unknown = await self._facts.unknown_messages(kept, answers)
                await self._read_messages(kept, unknown, trip.trip_code)
        except (AvinodeAway, AvinodeRefused, AvinodeUnclear, Unreadable, Unstorable):
            await self._facts.read_soon(trip_id)  # the notice is worked all the same
            return
        if kept is not None and not trip.rfq_ids:
            await self._facts.conclude(kept)
        elif kept is not None:
            await self._facts.read_soon(kept)  # with those that it only links to

    async def read_trip(self, due: DueTrip) -> None:
        """Read a trip and whatever it links to that is not known yet: a notice that was lost is made up for."""
        trip = await self._reader.trip(due.reference, is_urgent=not due.was_read)
        trip_id, outcomes = await self._facts.add_trip(due.trip_id, trip)
        await self._announce(outcomes)
        if trip_id is None:
            return
        code = trip.trip_code
        rfqs = [rfq for rfq_id in trip.rfq_ids if (rfq := await self._if_there(self._read_rfq(trip_id, rfq_id, code)))]
        await self._read_messages(trip_id, await self._facts.unknown_messages(trip_id, trip.message_ids), code)
        await self._read_quotes(trip_id, [*trip.rfqs, *rfqs])
        for rfq in (*trip.rfqs, *rfqs):
            self._readings.note(rfq.rfq.rfq_id, rfq.rfq.fetched_at)
        await self._facts.conclude(trip_id)

    async def _read_rfq(self, trip_id: UUID, rfq_id: str, trip_code: str | None) -> RfqReading:
        rfq = await self._reader.rfq(rfq_id)
        require(trip_code, rfq.trip_code or trip_code)
        await self._add(trip_id, rfq.found)
        return rfq

    async def _read_messages(self, trip_id: UUID, message_ids: Sequence[str], trip_code: str | None) -> None:
        """Read these, and keep them all at once: a quote and its revision, found together, are one piece of news."""
        found = Found()
        try:
            for message_id in message_ids:
                found += await self._if_there(self._read_message(message_id, trip_code)) or Found()
        finally:  # what was read before Avinode went away need not be read again
            await self._add(trip_id, found)
            for message in found.messages:
                self._readings.note(message.avinode_message_id, message.fetched_at)

    async def _read_message(self, message_id: str, trip_code: str | None) -> Found:
        reading = await self._reader.message(message_id)
        require(trip_code, reading.trip_code or trip_code)
        return reading.found

    async def _read_quotes(self, trip_id: UUID, rfqs: Sequence[RfqReading]) -> None:
        """Read the quotes that lifts link to and nobody has read: Avinode's estimates, and answers we missed."""
        wanted = {
            quote_id: (rfq.rfq.rfq_id, lift_id) for rfq in rfqs for quote_id, lift_id in rfq.quotes_by_lift.items()
        }
        found = Found()
        try:
            for quote_id in await self._facts.unknown_quotes(trip_id, wanted):
                found += await self._if_there(self._read_quote(quote_id, *wanted[quote_id])) or Found()
        finally:
            await self._add(trip_id, found)

    async def _read_quote(self, quote_id: str, rfq_id: str, lift_id: str) -> Found:
        return Found(quotes=(await self._reader.quote(quote_id, rfq_id, lift_id),))

    async def _if_there(self, reading: Awaitable[T]) -> T | None:
        """One link that leads nowhere, or where we may not go, must not keep the others from being followed."""
        try:
            with own_faults():
                return await reading
        except AvinodeLocked:
            raise
        except (AvinodeRefused, Unreadable, Unstorable, Unworkable) as error:
            log.warning("avinode links to nothing readable", error=error.detail)
            return None

    async def _trip_called(self, reference: str | None) -> UUID:
        """Find our trip of that name, if need be among those whose creation was never answered."""
        trip_id = await self._facts.trip_called(reference)
        if trip_id is None and reference is not None and reference not in self._not_lost:
            trip_id = await self._lost_trip(reference)
        if trip_id is None:
            raise Unmatched(reference)
        return trip_id

    async def _lost_trip(self, reference: str) -> UUID | None:
        """Ask whether a trip is ours, its creation unanswered: once, unless an answer is still to come."""
        unanswered = await self._facts.unanswered()
        if not unanswered.has_unconfirmed:
            return None
        trip = await self._reader.trip(reference)
        trip_id, outcomes = await self._facts.add_trip(None, trip)
        await self._announce(outcomes)
        if trip_id is None and not unanswered.has_sending:
            self._remember(reference)
        return trip_id

    def _remember(self, reference: str) -> None:
        if len(self._not_lost) >= REMEMBERED:
            self._not_lost.pop(next(iter(self._not_lost)))
        self._not_lost[reference] = None

    async def _add(self, trip_id: UUID, found: Found, causes: tuple[UUID, ...] = ()) -> None:
        if found != Found() or causes:
            await self._announce(await self._facts.add(trip_id, found, causes))

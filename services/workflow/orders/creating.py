"""Create requested trips at Avinode: at most one a request, whatever breaks in between."""

from collections.abc import Awaitable, Callable
from functools import partial

import structlog

from services.workflow.avinode.answers import errors_in
from services.workflow.avinode.client import Avinode, trip_order
from services.workflow.avinode.errors import (
    AvinodeAway,
    AvinodeForbidden,
    AvinodeLocked,
    AvinodeMissing,
    AvinodeRefused,
    AvinodeUnclear,
    Unreadable,
)
from services.workflow.avinode.resources import Trip, read_trip
from services.workflow.store.intents.requests import Intent, RequestStore
from services.workflow.waits import Waits
from shared.broker.connection import describe
from shared.database import DATABASE_ERRORS, Fault, fault_of
from shared.events import TripAdvanced
from shared.jobs.unworkable import Unworkable, own_faults
from shared.publishing.publisher import Publisher

Settle = Callable[[], Awaitable[list[TripAdvanced]]]

log = structlog.get_logger(__name__)


class Creator:
    """Sends one request at a time."""

    def __init__(self, requests: RequestStore, avinode: Avinode, publisher: Publisher, waits: Waits) -> None:
        self._requests = requests
        self._avinode = avinode
        self._announce = publisher.announce
        self._waits = waits
        self._settle: Settle | None = None  # an answer that is not written yet

    async def abandon(self) -> None:
        """Show what a process before this one was sending when it ended."""
        await self._announce(await self._requests.abandon())

    async def work_request(self) -> bool:
        """Send the request that has been due longest; tell whether there was one.

        What Avinode answered is remembered until it is written, should the database be away just then.
        """
        if self._settle is None:
            await self._abandon_stale()
            if not await self._requests.has_due():
                return False
            await self._avinode.ready(is_urgent=True)
            intent = await self._requests.begin_sending()
            if intent is None:
                return False
            self._settle = await self._send(intent)
        outcomes = await self._settle()
        self._settle = None
        await self._announce(outcomes)
        return True

    async def _created(self, intent: Intent, trip: Trip, errors: str | None) -> list[TripAdvanced]:
        """Note the trip; one that the database never takes is there all the same, and found again by its reading."""
        try:
            return await self._requests.created(intent, trip, errors)
        except DATABASE_ERRORS as error:
            if fault_of(error) is not Fault.MESSAGE:
                raise
            log.exception("trip created, and not stored", request_id=str(intent.request_id))
            return await self._requests.unconfirmed(intent, describe(error))

    async def _abandon_stale(self) -> None:
        """Show what is `sending` and sent by nobody, such as a row whose taking was committed but not confirmed to us.

        This process sends nothing now, and what another one may yet send is never sent again: its answer still counts.
        """
        if await self._requests.has_stale(self._waits.sending_s):
            await self._announce(await self._requests.abandon(self._waits.sending_s))

    async def _send(self, intent: Intent) -> Settle:
        """Post the trip, and return how to note what came of it."""
        try:
            with own_faults():
                order = trip_order(intent.request_id, intent.segments, intent.pax, intent.criteria)
        except Unworkable as error:
            return partial(self._requests.refused, intent, error.detail)
        try:
            with own_faults():
                body = await self._avinode.create_trip(order)
                trip = read_trip(body, intent.sent_at)
        except AvinodeAway as error:
            return self._unanswered(intent, error)
        except AvinodeRefused as error:
            return self._refused(intent, error)
        except (AvinodeUnclear, Unreadable, Unworkable) as error:
            return partial(self._requests.unconfirmed, intent, error.detail)
        log.info("trip created", trip_id=str(intent.trip_id), avinode_trip_id=trip.avinode_trip_id)
        return partial(self._created, intent, trip, errors_in(body) or None)

    def _unanswered(self, intent: Intent, error: AvinodeAway) -> Settle:
        """Only what surely was not acted on may be sent again."""
        if error.is_acted_on is None:
            log.error("trip request unconfirmed", request_id=str(intent.request_id), error=error.detail)
            return partial(self._requests.unconfirmed, intent, error.detail)
        wait_s = max(error.wait_s or 0.0, self._waits.retry_s(intent.attempts))
        return partial(self._requests.not_sent, intent, error.detail, wait_s)

    def _refused(self, intent: Intent, error: AvinodeRefused) -> Settle:
        """What is wrong with our credentials or base URL an operator can mend; with the request, only its user."""
        if isinstance(error, AvinodeLocked):
            return partial(self._requests.not_sent, intent, error.detail, 0.0)  # nothing is called for a while anyway
        if isinstance(error, AvinodeForbidden | AvinodeMissing):
            return partial(self._requests.not_sent, intent, error.detail, self._waits.refused_s)
        return partial(self._requests.refused, intent, error.detail)
